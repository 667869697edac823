//! How queries are answered, beside what the zones say: part of every snapshot, so that a query sees one state of it.

/// What `[server]` and its tables say of answering.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Answering {}
