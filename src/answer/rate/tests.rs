//! The limiter in simulated time.

use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const MICROSECOND: u64 = 1_000;
const SECOND: u64 = 1_000_000_000;

fn at(nanos: u64) -> Moment {
    Moment::from_boot(Duration::from_nanos(nanos))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn limits(responses_per_second: u32, slip: u32) -> RateLimit {
    RateLimit { responses_per_second, slip, ..RateLimit::default() }
}

/// Whole, slipped and unsent responses.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Count {
    whole: u64,
    slipped: u64,
    nothing: u64,
}

impl Count {
    fn add(&mut self, grant: Grant) {
        match grant {
            Grant::Whole => self.whole += 1,
            Grant::Slip => self.slipped += 1,
            Grant::Nothing => self.nothing += 1,
        }
    }
}

/// One client asks the same every `gap` nanoseconds from `from` until before `until`.
fn ask(limiter: &mut Limiter, limit: &RateLimit, client: &str, gap: u64, from: u64, until: u64) -> Count {
    let mut count = Count::default();
    for now in (from..until).step_by(gap as usize) {
        count.add(limiter.grant(limit, ip(client), Class::Answer, 1, at(now)));
    }
    count
}

#[test]
fn the_rate_holds_to_the_response() {
    for (rate, workers) in [(1, 1), (2, 1), (200, 1), (200, 4), (1000, 1), (100_000, 1), (200, 256)] {
        let limit = limits(rate, 0);
        let mut limiter = Limiter::new([1, 2], workers);
        let mut count = Count::default();
        // A burst at one moment is granted whole, and nothing more.
        for _ in 0..3 * rate {
            count.add(limiter.grant(&limit, ip("192.0.2.1"), Class::Answer, 1, at(SECOND)));
        }
        assert_eq!(count.whole, u64::from(rate), "{rate} of {workers}");
        // Then one response per share of the rate: 20 seconds of ten times as much.
        let gap = SECOND / 10 / u64::from(rate);
        let flood = ask(&mut limiter, &limit, "192.0.2.1", gap, SECOND + gap, 21 * SECOND + 1);
        assert_eq!(flood.whole, 20 * u64::from(rate) / u64::from(workers), "{rate} of {workers}");
        assert_eq!(flood.slipped, 0);
    }
}

#[test]
fn every_so_many_th_limited_response_slips() {
    for (slip, of_a_thousand) in [(0, 0), (1, 1000), (2, 500), (3, 333), (10, 100)] {
        let limit = limits(5, slip);
        let mut limiter = Limiter::new([1, 2], 1);
        // However the flood lies between the grants: twice the rate, and a thousand times.
        for gap in [SECOND / 10, SECOND / 5000] {
            let mut suppressed = 0;
            let mut slipped = 0;
            let mut now = SECOND;
            while suppressed < 1000 {
                match limiter.grant(&limit, ip("192.0.2.1"), Class::Error, 0, at(now)) {
                    Grant::Whole => {}
                    Grant::Slip => (suppressed, slipped) = (suppressed + 1, slipped + 1),
                    Grant::Nothing => suppressed += 1,
                }
                now += gap;
            }
            assert!((of_a_thousand..=of_a_thousand + 1).contains(&slipped), "{slip}: {slipped}");
        }
    }
}

#[test]
fn only_like_responses_to_one_prefix_share_a_bucket() {
    let limit = limits(1, 0);
    let fresh = |client: &str, class: Class, name: u64| {
        let mut limiter = Limiter::new([1, 2], 1);
        let first = limiter.grant(&limit, ip("192.0.2.1"), Class::Answer, 7, at(SECOND));
        assert_eq!(first, Grant::Whole);
        limiter.grant(&limit, ip("2001:db8:0:ff00::1"), Class::Answer, 7, at(SECOND));
        limiter.grant(&limit, ip(client), class, name, at(SECOND)) == Grant::Whole
    };
    assert!(!fresh("192.0.2.1", Class::Answer, 7));
    assert!(!fresh("192.0.2.255", Class::Answer, 7), "the same /24");
    assert!(!fresh("2001:db8:0:ffff:ffff::9", Class::Answer, 7), "the same /56");
    assert!(fresh("192.0.3.1", Class::Answer, 7), "another /24");
    assert!(fresh("2001:db8:0:fe00::1", Class::Answer, 7), "another /56");
    assert!(fresh("192.0.2.1", Class::Answer, 8), "another name");
    for class in &Class::ALL[1..] {
        assert!(fresh("192.0.2.1", *class, 7), "another class");
    }
}

#[test]
fn prefixes_are_cut_at_any_length() {
    let all = |ipv4_prefix, ipv6_prefix| RateLimit { ipv4_prefix, ipv6_prefix, ..RateLimit::default() };
    for (limit, client, wanted) in [
        (all(24, 56), "192.0.2.77", "::ffff:192.0.2.0"),
        (all(32, 128), "192.0.2.77", "::ffff:192.0.2.77"),
        (all(8, 56), "192.0.2.77", "::ffff:192.0.0.0"),
        (all(24, 56), "2001:db8:1:2345:6::7", "2001:db8:1:2300::"),
        (all(24, 128), "2001:db8::7", "2001:db8::7"),
        (all(24, 16), "2001:db8::7", "2001::"),
        (all(24, 0), "2001:db8::7", "::"),
    ] {
        let wanted = wanted.parse::<std::net::Ipv6Addr>().unwrap().to_bits();
        assert_eq!(prefix(ip(client), &limit), [(wanted >> 64) as u64, wanted as u64], "{client} by {limit:?}");
    }
}

#[test]
fn a_flood_leaves_other_prefixes_and_later_times_alone() {
    let limit = limits(200, 2);
    let mut limiter = Limiter::new([3, 4], 1);
    let mut others = Count::default();
    let mut flood = Count::default();
    // 100,000 queries a second from one prefix; 100 a second from another between them.
    for step in 0..500_000_u64 {
        let now = at(SECOND + step * 10 * MICROSECOND);
        flood.add(limiter.grant(&limit, ip("192.0.2.1"), Class::Answer, 1, now));
        if step.is_multiple_of(1000) {
            others.add(limiter.grant(&limit, ip("198.51.100.1"), Class::Answer, 1, now));
        }
    }
    assert_eq!(others, Count { whole: 500, ..Count::default() });
    let whole = 200 + 5 * 200 - 1;
    assert_eq!(flood.whole, whole);
    assert_eq!((flood.slipped, flood.nothing), ((500_000 - whole) / 2, (500_000 - whole).div_ceil(2)));
    // A second of quiet forgives everything.
    let after = ask(&mut limiter, &limit, "192.0.2.1", 1, 7 * SECOND, 7 * SECOND + 200);
    assert_eq!(after, Count { whole: 200, ..Count::default() });
}

#[test]
fn a_full_table_forgets_and_never_limits_the_wrong_client() {
    let limit = limits(2, 0);
    let mut limiter = Limiter::new([5, 6], 1);
    // Four times as many clients as there are buckets, each once, in the same moment.
    for client in 0..(16 * LINES) as u32 {
        let client = IpAddr::V4((client << 8).into());
        assert_eq!(limiter.grant(&limit, client, Class::Answer, 1, at(SECOND)), Grant::Whole, "{client}");
    }
    assert_eq!(limiter.lines.len(), LINES);
}

#[test]
fn heavy_buckets_survive_a_flood_of_light_ones() {
    let limit = limits(100, 0);
    let mut limiter = Limiter::new([5, 6], 1);
    let heavy = ask(&mut limiter, &limit, "203.0.113.1", 1, SECOND, SECOND + 1000);
    assert_eq!(heavy.whole, 100);
    for client in 0..(16 * LINES) as u32 {
        limiter.grant(&limit, IpAddr::V4((client << 8).into()), Class::Answer, 1, at(SECOND + 1000));
    }
    let after = ask(&mut limiter, &limit, "203.0.113.1", 1, SECOND + 1000, SECOND + 2000);
    assert_eq!(after.whole, 0);
}

/// With an empty key it is the hasher of the standard library.
#[test]
fn the_hash_is_siphash_1_3() {
    for number in 0..1000_u64 {
        let words = [number, number.rotate_left(17), !number, number.wrapping_mul(0x0123_4567_89ab_cdef)];
        let mut hasher = DefaultHasher::new();
        words.iter().for_each(|&word| hasher.write_u64(word));
        assert_eq!(siphash([0, 0], words), hasher.finish());
        assert_ne!(siphash([0, 1], words), siphash([0, 0], words));
        assert_ne!(siphash([1, 0], words), siphash([0, 0], words));
    }
}

proptest! {
    /// The rule in one line each: a slow model holds every grant of the last seconds and counts.
    #[test]
    fn never_more_than_the_rate_and_never_less(
        rate in 1_u32..50,
        gaps in proptest::collection::vec(0_u64..2 * SECOND / 10, 1..400),
        seed in any::<[u64; 2]>(),
    ) {
        let limit = limits(rate, 0);
        let mut limiter = Limiter::new(seed, 1);
        let mut granted: Vec<u64> = Vec::new();
        let mut now = SECOND;
        for gap in gaps {
            now += gap;
            let is_whole = limiter.grant(&limit, ip("192.0.2.1"), Class::Answer, 1, at(now)) == Grant::Whole;
            // A client that got fewer than `rate` in the last second is granted its response.
            let recent = granted.iter().filter(|&&then| now - then < SECOND).count();
            prop_assert!(is_whole || recent >= rate as usize, "{} in the last second of {}", recent, rate);
            if is_whole {
                granted.push(now);
            }
        }
        // Over every span that begins and ends with a grant.
        for (first, &from) in granted.iter().enumerate() {
            for (last, &until) in granted.iter().enumerate().skip(first) {
                let most = u64::from(rate) as f64 * ((until - from) as f64 / SECOND as f64 + 1.0);
                prop_assert!((last - first) as f64 <= most, "{} in {} ns", last - first + 1, until - from);
            }
        }
    }
}
