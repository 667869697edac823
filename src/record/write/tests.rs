use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::control::carried::Carried;
use crate::control::journal::Stages;
use crate::control::{Asked, Marks, Released, ResolveFault, Resolved};
use crate::decision::{Data, Reason, Served};
use crate::dns::Serial;
use crate::probe::fixture::name;
use crate::probe::{Call, Cause, Certificate, Detail, Epoch, LocalFault, Phase, WatchId};
use crate::record::{Load, Reader, Step};
use crate::snapshot::Generation;
use crate::time::{Moment, Wall};

fn moments() -> impl Strategy<Value = Moment> {
    prop_oneof![any::<u64>(), 0u64..5_000_000_000].prop_map(|nanos| Moment::from_boot(Duration::from_nanos(nanos)))
}

fn nows() -> impl Strategy<Value = Now> {
    let walls = prop_oneof![any::<i64>(), 1_795_000_000_000..1_795_000_100_000i64].prop_map(Wall::from_millis);
    (moments(), walls).prop_map(|(moment, wall)| Now { moment, wall })
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        3 => Just(Outcome::Passed),
        1 => Just(Outcome::Failed(Cause::ConnectRefused)),
        1 => Just(Outcome::Failed(Cause::Timeout(Phase::FirstByte))),
        1 => "[a-zé\"]{0,9}".prop_map(|seen| Outcome::Failed(Cause::Unexpected { expression: "time < 1s".into(), seen })),
        1 => Just(Outcome::Failed(Cause::Silent(Some(7)))),
        1 => Just(Outcome::Inconclusive(LocalFault::Program("x".into()))),
    ]
}

fn spans() -> impl Strategy<Value = Option<Duration>> {
    prop::option::of((0u64..10_000_000).prop_map(Duration::from_micros))
}

fn phases_of() -> impl Strategy<Value = Phases> {
    (spans(), spans(), spans(), spans(), spans(), spans()).prop_map(
        |(resolve, connect, tls, first_byte, body, answer)| Phases { resolve, connect, tls, first_byte, body, answer },
    )
}

fn certificates() -> impl Strategy<Value = Option<Arc<Certificate>>> {
    prop::option::of((0i64..3).prop_map(|not_after| {
        Arc::new(Certificate {
            subject: "CN=www".into(),
            issuer: "C=US, O=Let's Encrypt, CN=R11".into(),
            names: vec!["www.example.com".into()],
            not_before: -5,
            not_after,
            chain: 2,
        })
    }))
}

fn purposes() -> impl Strategy<Value = Purpose> {
    prop_oneof![
        Just(Purpose::Scheduled),
        any::<u8>().prop_map(Purpose::Confirm),
        Just(Purpose::Witness),
        Just(Purpose::Manual),
        Just(Purpose::Tripwire)
    ]
}

prop_compose! {
    fn observations()(
        watch in prop_oneof![0u32..4, any::<u32>()],
        epoch in 0u64..3,
        purpose in purposes(),
        started in moments(),
        finished in moments(),
        outcome in outcomes(),
        address in prop::option::of(any::<IpAddr>()),
        phases in phases_of(),
        warnings in prop::collection::vec("[a-z ]{0,8}", 0..2),
        certificate in certificates(),
        status in prop::option::of(200u16..203),
        insists: bool,
    ) -> Observation {
        let detail = insists.then(|| Arc::new(Detail { insists, ..Detail::default() }));
        let (watch, epoch) = (WatchId(watch), Epoch(epoch));
        Observation { watch, epoch, purpose, started, finished, outcome, address, phases, warnings, certificate, status, detail }
    }
}

fn happenings() -> impl Strategy<Value = Happened> {
    prop_oneof![
        6 => observations().prop_map(Happened::Observed),
        2 => Just(Happened::Elapsed),
        1 => any::<u64>().prop_map(|sequence| Happened::Committed { sequence }),
        1 => (moments(), any::<bool>()).prop_map(|(started, passed)| Happened::Canary { started, passed }),
        1 => prop::option::of("[a-z]{1,5}").prop_map(|trouble| Happened::Storage { trouble }),
        1 => Just(Happened::Resolved { hostname: name("a.example"), outcome: Err(ResolveFault::Gone) }),
        1 => any::<IpAddr>().prop_map(|address| Happened::Resolved {
            hostname: name("a.example"),
            outcome: Ok(Resolved { addresses: vec![address], ttl: Duration::from_secs(5) }),
        }),
        1 => moments().prop_map(|at| Happened::Called(Call {
            origin: "eu".into(), check: "beat".into(), at, failed: false
        })),
        1 => Just(Happened::Asked {
            actor: "alice".into(),
            asked: Asked::Release(Released::Name(name("www.example"))),
        }),
        1 => Just(Happened::Reserved {
            marks: Marks { generation: Generation(7), serials: vec![(name("example"), Serial(9))] }
        }),
        1 => Just(Happened::ReloadRefused { errors: "two\nlines".into() }),
    ]
}

fn turns() -> impl Strategy<Value = Turn> {
    let served = |origin: &str| {
        let addresses = vec!["192.0.2.1".parse().unwrap()];
        Served {
            place: crate::config::Place::Backup(2),
            origins: vec![origin.into()],
            data: Data::Addresses(addresses),
        }
    };
    (any::<bool>(), any::<u32>(), prop::option::of(0..u64::MAX - 1), any::<u64>()).prop_map(
        move |(first, number, confirm_ms, publish_us)| Turn {
            name: name("www.example"),
            zone: name("example"),
            from: (!first).then(|| Arc::new(served("eu"))),
            to: Arc::new(served("us")),
            reason: Reason::Held { actor: "alice".into(), reason: "night \"shift\"".into(), until: None },
            evidence: [format!("eu: down {number}")].into(),
            generation: Generation(u64::from(number)),
            serial: Serial(number),
            ttl: number,
            stages: Stages { confirm_ms, publish_us },
        },
    )
}

#[derive(Clone, Debug)]
enum Written {
    Event(Happened, Now),
    Published(Now, Option<Now>, Vec<Turn>),
    Started(Now),
    Stopped(Now),
}

fn written() -> impl Strategy<Value = Written> {
    prop_oneof![
        8 => (happenings(), nows()).prop_map(|(happened, now)| Written::Event(happened, now)),
        2 => (nows(), prop::option::of(nows()), prop::collection::vec(turns(), 0..3))
            .prop_map(|(now, served, turns)| Written::Published(now, served, turns)),
        1 => nows().prop_map(Written::Started),
        1 => nows().prop_map(Written::Stopped),
    ]
}

/// The record of these, and the steps it is to come to.
fn record(all: &[Written], chunk: usize) -> (Vec<Vec<u8>>, Vec<Step>) {
    let now = Now { moment: Moment::default(), wall: Wall::from_millis(1_795_000_000_000) };
    let load = Arc::new(Load { node: "ns1".into(), ..Load::default() });
    let start = Began { run: 1, part: 0, missing: 3, now, load, carried: Carried::default() };
    let (mut chunks, mut writer) = (vec![began(&start)], Writer::new(now));
    let mut steps = vec![Step::Began(Box::new(start))];
    for (number, one) in all.iter().enumerate() {
        match one.clone() {
            Written::Event(happened, now) => {
                writer.event(&crate::record::replay::event(happened.clone()), now);
                steps.push(Step::Happened(happened, now));
            }
            Written::Published(now, served, turns) => {
                let entry = |turn: &Turn| Entry {
                    sequence: 1,
                    at: now.wall,
                    node: "ns1".into(),
                    what: What::Turned(Box::new(turn.clone())),
                };
                writer.published(now, served, &turns.iter().map(entry).collect::<Vec<_>>());
                steps.push(Step::Published { now, served });
                steps.extend(turns.into_iter().map(|turn| Step::Turned { at: now.wall, turn: Box::new(turn) }));
            }
            Written::Started(now) => {
                writer.started("0.1.0", now);
                steps.push(Step::Started { version: "0.1.0".into(), now });
            }
            Written::Stopped(now) => {
                writer.stopped(now);
                steps.push(Step::Stopped { now });
            }
        }
        if number % chunk == 0 {
            chunks.push(writer.take().0);
        }
    }
    chunks.push(writer.take().0);
    (chunks, steps)
}

fn read(chunks: &[Vec<u8>]) -> Vec<Step> {
    let (mut reader, mut steps) = (Reader::default(), Vec::new());
    chunks.iter().for_each(|chunk| reader.read(chunk, &mut |step| steps.push(step)).expect("what was written"));
    steps
}

proptest! {
    #[test]
    fn what_is_written_is_read(all in prop::collection::vec(written(), 0..40), chunk in 1usize..9) {
        let (chunks, steps) = record(&all, chunk);
        prop_assert_eq!(read(&chunks), steps);
    }

    #[test]
    fn garbage_never_panics(
        all in prop::collection::vec(written(), 0..10),
        at: prop::sample::Index,
        with: u8,
        more in prop::collection::vec(any::<u8>(), 0..30),
    ) {
        let (chunks, _) = record(&all, 100);
        let mut bytes = chunks.concat();
        let at = at.index(bytes.len());
        bytes[at] = with;
        bytes.extend(more);
        let _ = Reader::default().read(&bytes, &mut |_| {});
        let _ = Reader::default().read(&bytes[at..], &mut |_| {});
    }
}

/// The common case: of 10,000 watches one passes as it did before, and both clocks run alike.
#[test]
fn an_ordinary_pass_takes_little() {
    let start =
        Now { moment: Moment::from_boot(Duration::from_secs(90_000)), wall: Wall::from_millis(1_795_000_000_000) };
    let mut writer = Writer::new(start);
    let mut pass = |round: u64, watch: u32| {
        let at = round * 5_000_000 + u64::from(watch) * 497;
        let now = start + Duration::from_micros(at);
        let connect = Duration::from_micros(200 + u64::from(watch % 50));
        let first_byte = Duration::from_micros(900 + at % 200);
        let started = now.moment - Duration::from_micros(3_000 + at % 100);
        writer.event(
            &Event::Observed(Observation {
                watch: WatchId(watch),
                epoch: Epoch(u64::from(watch) + 1),
                purpose: Purpose::Scheduled,
                started,
                finished: started + connect + first_byte + Duration::from_nanos(321),
                outcome: Outcome::Passed,
                address: Some("192.0.2.1".parse().unwrap()),
                phases: Phases {
                    connect: Some(connect),
                    first_byte: Some(first_byte),
                    body: Some(Duration::ZERO),
                    ..Phases::default()
                },
                warnings: Vec::new(),
                certificate: None,
                status: Some(200),
                detail: None,
            }),
            now,
        );
    };
    (0..10_000).for_each(|watch| pass(0, watch));
    (0..10_000).for_each(|watch| pass(1, watch));
    let both = writer.take().0.len();
    assert!(both / 20_000 <= 24, "{} bytes an observation", both / 20_000);
}
