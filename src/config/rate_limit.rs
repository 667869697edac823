//! `[server.rate_limit]`: how many responses of one kind a prefix of clients gets over UDP.

use ipnet::IpNet;

use super::answering::prefixes;
use super::bounds::section;
use super::value::{Fields, Reading, preset_integer};

/// Response rate limiting, where it is on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RateLimit {
    /// Responses of one kind to one prefix, by one listen address; 1 or more.
    pub responses_per_second: u32,
    /// Every so many-th response over the limit goes out truncated; 0 is none of them.
    pub slip: u32,
    /// Bits of an IPv4 address that tell clients apart.
    pub ipv4_prefix: u8,
    /// Bits of an IPv6 address that tell clients apart.
    pub ipv6_prefix: u8,
    /// Clients that are never limited, and never counted.
    pub exempt: Vec<IpNet>,
}

/// The values of a table without keys.
impl Default for RateLimit {
    fn default() -> Self {
        let number = |key| preset_integer(section("server.rate_limit"), key);
        Self {
            responses_per_second: number("responses_per_second") as u32,
            slip: number("slip") as u32,
            ipv4_prefix: number("ipv4_prefix") as u8,
            ipv6_prefix: number("ipv6_prefix") as u8,
            exempt: Vec::new(),
        }
    }
}

/// `rate_limit` of `[server]`, if it is there.
pub(crate) fn rate_limit(reading: &mut Reading<'_>, server: &Fields<'_>) -> Option<RateLimit> {
    let (value, at) = server.raw("rate_limit")?;
    if !value.is_table() {
        let right = "{ responses_per_second = 200 }".to_owned();
        reading.mistyped("rate_limit", value, at, "a table", Some(right));
        return None;
    }
    let fields = reading.inline(section("server.rate_limit"), "rate_limit", value, at)?;
    let mut limit = RateLimit::default();
    // Each is within the bounds of its row, and so within its type.
    let mut number = |key, default| reading.integer(&fields, key).map_or(default, |number| number.value as u32);
    limit.responses_per_second = number("responses_per_second", limit.responses_per_second);
    limit.slip = number("slip", limit.slip);
    limit.ipv4_prefix = number("ipv4_prefix", limit.ipv4_prefix.into()) as u8;
    limit.ipv6_prefix = number("ipv6_prefix", limit.ipv6_prefix.into()) as u8;
    limit.exempt = prefixes(reading, &fields, "exempt");
    Some(limit)
}
