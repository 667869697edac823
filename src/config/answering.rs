//! How queries are answered, beside what the zones say: part of every snapshot, so that a query sees one state of it.

use super::RateLimit;

/// What `[server]` and its tables say of answering.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Answering {
    /// `None` is no limit.
    pub rate_limit: Option<RateLimit>,
}
