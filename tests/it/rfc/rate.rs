//! Response rate limiting as a client sees it: what is counted together, what a limited client gets, who is exempt.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use failoverd::answer::{Client, Disposition, Transport, answer, read};
use failoverd::config::RateLimit;

use super::world::{Answer, World, query};

const ZONE: &str = "
@ SOA ns mail 1 2 3 4 5
@ NS ns
ns A 192.0.2.1
www A 192.0.2.2
mail A 192.0.2.3
*.wild A 192.0.2.4
wild A 192.0.2.5
sub NS ns.sub
ns.sub A 192.0.2.6
plain NS ns.sub
old DNAME new
x.new A 192.0.2.7
y.new A 192.0.2.8
alias CNAME www
dead CNAME nobody
";

const ATTACKED: &str = "203.0.113.7:4096";

/// A nameserver that grants `rate` responses of a kind per second.
struct Limited {
    world: World,
}

impl Limited {
    fn new(rate: u32, slip: u32) -> Self {
        Self::with(RateLimit { responses_per_second: rate, slip, ..RateLimit::default() })
    }

    fn with(limit: RateLimit) -> Self {
        let mut world = World::new(&[("example.com", ZONE), ("example.net", "@ SOA ns mail 1 2 3 4 5\n@ NS ns")]);
        Arc::make_mut(&mut world.snapshot.answering).rate_limit = Some(limit);
        Self { world }
    }

    /// What `client` gets, if anything.
    fn ask_from(&mut self, client: &str, question: &str) -> Option<Answer> {
        let (bytes, transport) = query(question);
        let client = Client { address: client.parse::<SocketAddr>().unwrap(), transport };
        let World { snapshot, desk, reply } = &mut self.world;
        match answer(&bytes, &read(&bytes), &client, snapshot, desk, reply) {
            Disposition::Send => Some(Answer::parse(reply.bytes())),
            Disposition::Drop => None,
        }
    }

    fn ask(&mut self, question: &str) -> Option<Answer> {
        self.ask_from(ATTACKED, question)
    }

    fn pass(&mut self, span: Duration) {
        self.world.desk.now = self.world.desk.now + span;
    }

    /// A counter, as metrics have it.
    fn counted(&self, what: &str, kind: &str) -> u64 {
        let row = self.world.desk.tally.rows().find(|row| (row.0, row.1) == (what, kind));
        row.expect("a counter of that name").2
    }
}

/// Which of two questions are counted together: the second is limited after the first, or not.
#[test]
fn like_responses_share_a_bucket() {
    for (first, second, is_shared) in [
        ("www.example.com A", "www.example.com A", true),
        ("www.example.com A", "WWW.Example.Com A", true),
        ("www.example.com A", "www.example.com A +edns=1232", true),
        ("www.example.com A", "mail.example.com A", false),
        // Random names below a wildcard, which is not the name that it stands below.
        ("a.wild.example.com A", "b.wild.example.com A", true),
        ("a.wild.example.com A", "x.y.z.wild.example.com A", true),
        ("a.wild.example.com A", "wild.example.com A", false),
        // Random names below a DNAME and below a cut.
        ("x.old.example.com A", "y.old.example.com A", true),
        ("x.old.example.com A", "nobody.old.example.com A", false),
        ("x.sub.example.com A", "y.sub.example.com AAAA", true),
        ("x.sub.example.com A", "x.plain.example.com A", false),
        // Negative answers by zone.
        ("a.example.com A", "b.example.com A", true),
        ("a.example.com A", "b.c.d.example.com TXT", true),
        ("a.example.com A", "a.example.net A", false),
        ("www.example.com TXT", "mail.example.com TXT", true),
        ("www.example.com TXT", "a.example.com TXT", false),
        ("www.example.com TXT", "www.example.com A", false),
        // An alias that leads nowhere is a negative answer.
        ("dead.example.com A", "a.example.com A", true),
        ("alias.example.com A", "www.example.com A", false),
        // Errors of all kinds.
        ("www.example.org A", "other.test TXT", true),
        ("www.example.org A", "www.example.com AXFR", true),
        ("www.example.org A", "www.example.com OPT", true),
        ("www.example.org A", "www.example.com A", false),
    ] {
        let mut limited = Limited::new(1, 0);
        assert!(limited.ask(first).is_some(), "{first} is the first");
        assert_eq!(limited.ask(second).is_none(), is_shared, "{first}, then {second}");
    }
}

#[test]
fn a_limited_response_slips_without_records() {
    let mut limited = Limited::new(1, 2);
    for question in ["www.example.com A", "x.sub.example.com A", "nobody.example.com A", "www.example.org A +do"] {
        let whole = limited.ask(question).expect("the first");
        assert!(!whole.tc, "{question}");
        assert_eq!(limited.ask(question), None, "{question}: the second of three is dropped");
        let slipped = limited.ask(question).expect("every second limited response");
        assert_eq!((slipped.tc, &slipped.rcode, slipped.aa), (true, &whole.rcode, whole.aa), "{question}");
        assert_eq!((&slipped.answer, &slipped.authority, &slipped.additional), (&vec![], &vec![], &vec![]));
        assert_eq!(slipped.opt, whole.opt, "{question}: OPT where the query has one");
        let (bytes, _) = query(question);
        assert!(slipped.bytes.len() <= bytes.len(), "{question}: no amplification");
        assert_eq!(slipped.bytes[12..], bytes[12..slipped.bytes.len()], "{question}: echoed");
        limited.pass(Duration::from_secs(2));
    }
    for class in ["answer", "referral", "nxdomain", "error"] {
        assert_eq!((limited.counted("replies_limited", class), limited.counted("replies_slipped", class)), (1, 1));
    }
    assert_eq!(limited.counted("queries_dropped", ""), 4);
    assert_eq!(limited.counted("replies_truncated", ""), 4);
}

#[test]
fn what_cannot_be_forged_is_not_limited() {
    let mut limited = Limited::new(1, 0);
    for _ in 0..100 {
        assert!(limited.ask("www.example.com A +tcp").is_some());
    }
    // Nor does it count against the same client's queries over UDP.
    assert!(limited.ask("www.example.com A").is_some());
    assert!(limited.ask("www.example.com A").is_none());
    let (bytes, _) = query("www.example.com A");
    for transport in [Transport::Tls, Transport::Https, Transport::Quic] {
        let client = Client { address: ATTACKED.parse().unwrap(), transport };
        let World { snapshot, desk, reply } = &mut limited.world;
        assert_eq!(answer(&bytes, &read(&bytes), &client, snapshot, desk, reply), Disposition::Send, "{transport:?}");
    }
}

#[test]
fn exempt_prefixes_are_not_limited_nor_counted() {
    let exempt = ["203.0.113.8/30".parse().unwrap(), "2001:db8:9::/48".parse().unwrap()];
    let mut limited =
        Limited::with(RateLimit { responses_per_second: 1, slip: 0, exempt: exempt.into(), ..RateLimit::default() });
    for client in ["203.0.113.9:53", "[2001:db8:9::1]:53", "[::ffff:203.0.113.10]:53"] {
        for _ in 0..10 {
            assert!(limited.ask_from(client, "www.example.com A").is_some(), "{client}");
        }
    }
    // The rest of that /24 still has its own.
    assert!(limited.ask("www.example.com A").is_some());
    assert!(limited.ask_from("203.0.113.12:53", "www.example.com A").is_none());
    assert!(limited.ask_from("[2001:db8:8::1]:53", "www.example.com A").is_some());
    assert!(limited.ask_from("[2001:db8:8:ff::1]:53", "www.example.com A").is_none());
}

#[test]
fn off_unless_configured() {
    let mut limited = Limited::new(1, 0);
    limited.world.snapshot.answering = Arc::default();
    for _ in 0..1000 {
        assert!(limited.ask("www.example.com A").is_some());
    }
}

/// The whole path of a second of simulated flood: the counts are those of the rate.
#[test]
fn a_flood_of_random_names_is_one_flood() {
    let mut limited = Limited::new(200, 2);
    let (mut whole, mut slipped, mut nothing) = (0, 0, 0);
    for number in 0..10_000 {
        match limited.ask(&format!("r{number}.wild.example.com A")) {
            Some(answer) if answer.tc => slipped += 1,
            Some(answer) => whole += answer.answer.len(),
            None => nothing += 1,
        }
        let other = limited.ask_from("198.51.100.1:4096", &format!("o{number}.wild.example.com A"));
        assert!(number % 100 != 0 || number > 100 || other.is_some_and(|answer| !answer.tc));
        limited.pass(Duration::from_micros(100));
    }
    assert_eq!((whole, slipped, nothing), (399, 4800, 4801));
}
