use super::*;
use crate::config::expect::Expression;
use crate::config::{Ask, Check, Web};
use crate::probe::{Cause::*, watch::Watch};
use crate::probe::{Epoch, Phases, fixture};
use std::time::Duration;

const CLOCK: Outcome = Outcome::Inconclusive(LocalFault::ClockOrRoots);

fn at(millis: u64) -> Moment {
    Moment::from_boot(Duration::from_millis(millis))
}

/// A probe of this watch that takes 10 ms.
fn saw(watch: u32, purpose: Purpose, started: u64, outcome: Outcome) -> Observation {
    Observation {
        watch: WatchId(watch),
        epoch: Epoch(u64::from(watch)),
        purpose,
        started: at(started),
        finished: at(started + 10),
        outcome,
        address: None,
        phases: Phases::default(),
        warnings: vec![],
        certificate: None,
        status: None,
        detail: None,
    }
}

fn scheduled(watch: u32, started: u64, outcome: Outcome) -> Observation {
    saw(watch, Purpose::Scheduled, started, outcome)
}

fn witness(watch: u32, started: u64, outcome: Outcome) -> Observation {
    saw(watch, Purpose::Witness, started, outcome)
}

/// One watch per origin, one origin per check.
fn watches(checks: Vec<Check>) -> (Vec<Watch>, Config) {
    let mut config = fixture::flock(u8::try_from(checks.len()).unwrap(), fixture::check("x"));
    let watch = |id: u32| Watch {
        origin: OriginId(id),
        target: Target::Address(config.origins[id as usize].a[0].into()),
        port: 443,
        check: crate::config::CheckId(id),
        host: "www.example.com".into(),
    };
    let watches = (0..config.origins.len() as u32).map(watch).collect();
    config.checks = checks.into_iter().map(Arc::new).collect();
    (watches, config)
}

fn trust(checks: Vec<Check>) -> Trust {
    let (watches, config) = watches(checks);
    let mut trust = Trust::default();
    trust.arrange(&watches, &config, &[]);
    trust
}

fn https(count: usize) -> Vec<Check> {
    vec![fixture::check("site"); count]
}

fn failed(cause: Cause) -> Outcome {
    Outcome::Failed(cause)
}

impl Trust {
    /// Weighs for a watch that is up: what it counts as, what is released, who is asked.
    fn see(&mut self, observation: &Observation) -> (Outcome, Vec<u32>, Vec<u32>) {
        let weighed = self.weigh(observation, Class::Up);
        let number = |ids: Vec<WatchId>| ids.into_iter().map(|id| id.0).collect::<Vec<_>>();
        let released = weighed.release.iter().map(|failure| failure.watch).collect();
        (weighed.outcome, number(released), number(weighed.witnesses))
    }
}

#[test]
fn one_certificate_expires_and_its_failures_count_after_a_round_trip() {
    let mut trust = trust(https(3));
    assert_eq!(trust.see(&scheduled(0, 0, failed(CertExpired))), (CLOCK, vec![], vec![1, 2]));
    assert_eq!(trust.see(&witness(2, 12, Outcome::Passed)), (Outcome::Passed, vec![0], vec![]));
    assert_eq!(trust.see(&witness(1, 12, Outcome::Passed)), (Outcome::Passed, vec![], vec![]), "only once");
    // Each failure is weighed on its own.
    assert_eq!(trust.see(&saw(0, Purpose::Confirm(1), 500, failed(CertExpired))).0, CLOCK);
    assert_eq!(trust.see(&scheduled(1, 520, Outcome::Passed)).1, [0]);
}

#[test]
fn a_clock_jump_makes_all_fail_and_nothing_counts() {
    let mut trust = trust(https(3));
    for round in 0..4 {
        for watch in 0..3 {
            let started = round * 5000 + u64::from(watch) * 1000;
            let (outcome, released, witnesses) = trust.see(&scheduled(watch, started, failed(CertNotYetValid)));
            assert_eq!((outcome, released), (CLOCK, vec![]));
            for witness_of in witnesses {
                let seen = trust.see(&witness(witness_of, started + 11, failed(CertNotYetValid)));
                assert_eq!(seen, (CLOCK, vec![], vec![]), "a witness calls no witnesses");
            }
        }
    }
    // The clock is set right: no old failure counts any more.
    for watch in 0..3 {
        let seen = trust.see(&scheduled(watch, 20_000 + u64::from(watch), Outcome::Passed));
        assert_eq!(seen, (Outcome::Passed, vec![], vec![]));
    }
    assert!(trust.held.is_empty());
}

#[test]
fn an_answer_from_before_the_failure_ended_proves_nothing() {
    let mut trust = trust(https(2));
    assert_eq!(trust.see(&scheduled(1, 0, Outcome::Passed)).1, [0_u32; 0]);
    assert_eq!(trust.see(&scheduled(0, 0, failed(CertExpired))), (CLOCK, vec![], vec![1]));
    assert_eq!(trust.see(&scheduled(1, 9, Outcome::Passed)).1, [0_u32; 0]);
    assert_eq!(trust.see(&scheduled(1, 10, Outcome::Passed)).1, [0]);
}

#[test]
fn an_answer_that_overtook_the_failure_counts() {
    let mut proven = trust(https(2));
    proven.see(&scheduled(1, 15, Outcome::Passed));
    assert_eq!(proven.see(&scheduled(0, 0, failed(CertExpired))), (failed(CertExpired), vec![], vec![]));
    let mut excused = trust(https(2));
    excused.see(&witness(1, 15, failed(CertExpired)));
    assert_eq!(excused.see(&scheduled(0, 0, failed(CertExpired))), (CLOCK, vec![], vec![]));
    assert!(excused.held.is_empty());
}

#[test]
fn without_peers_a_failure_counts_at_once() {
    let alone = failed(CertUnknownIssuer);
    assert_eq!(trust(https(1)).see(&scheduled(0, 0, alone.clone())), (alone.clone(), vec![], vec![]));
    let mut plain = https(2);
    plain[1].ask = Ask::Http(Web::get("/"));
    assert_eq!(trust(plain).see(&scheduled(0, 0, alone.clone())).0, alone, "plain http proves nothing");
    let mut private = https(2);
    private[1].ca = Some("PEM".into());
    assert_eq!(trust(private.clone()).see(&scheduled(0, 0, alone.clone())).0, alone, "nor do other roots");
    assert_eq!(trust(private).see(&scheduled(0, 0, failed(CertExpired))).0, CLOCK, "but they share the clock");
    // Two addresses of one origin have one certificate.
    let (mut watches, config) = watches(https(2));
    watches[1].origin = OriginId(0);
    let mut same = Trust::default();
    same.arrange(&watches, &config, &[]);
    assert_eq!(same.see(&scheduled(0, 0, alone.clone())).0, alone);
}

#[test]
fn peers_that_show_no_certificate_leave_the_failure_standing() {
    let mut trust = trust(https(2));
    assert_eq!(trust.see(&scheduled(0, 0, failed(CertExpired))).2, [1]);
    assert_eq!(trust.see(&witness(1, 12, failed(ConnectRefused))), (failed(ConnectRefused), vec![0], vec![]));
}

#[test]
fn a_dead_peer_among_those_that_fail_on_trust_proves_nothing() {
    let mut trust = trust(https(3));
    assert_eq!(trust.see(&scheduled(0, 0, failed(CertExpired))).2, [1, 2]);
    assert_eq!(trust.see(&witness(1, 12, failed(ConnectTimeout))).1, [0_u32; 0]);
    assert_eq!(trust.see(&witness(2, 12, failed(CertExpired))).1, [0_u32; 0]);
    assert!(trust.held.is_empty());
}

#[test]
fn good_witnesses_are_asked_first_and_mute_ones_last() {
    let mut trust = trust(https(8));
    trust.see(&scheduled(1, 0, failed(ConnectRefused)));
    trust.see(&scheduled(2, 0, failed(ConnectRefused)));
    trust.see(&scheduled(3, 0, failed(ConnectRefused)));
    trust.see(&scheduled(7, 0, Outcome::Passed));
    assert_eq!(trust.see(&scheduled(0, 20, failed(CertExpired))).2, [7, 4, 5]);
    assert_eq!(trust.see(&witness(7, 40, failed(ConnectRefused))).2, [0_u32; 0]);
    assert_eq!(trust.see(&witness(4, 40, failed(ConnectRefused))).2, [0_u32; 0]);
    // All three died: the last one that may still speak is asked, those known to be mute are not.
    assert_eq!(trust.see(&witness(5, 40, failed(ConnectRefused))).2, [6]);
    assert_eq!(trust.see(&witness(6, 50, failed(ConnectRefused))).1, [0]);
}

#[test]
fn what_shows_that_a_certificate_held() {
    for (outcome, proves) in [
        (Outcome::Passed, true),
        (failed(Unexpected { expression: "status == 200".into(), seen: "500".into() }), true),
        (failed(Timeout(Phase::FirstByte)), true),
        (failed(Reset(Phase::Body)), true),
        (failed(CertWrongName), true),
        (Outcome::Inconclusive(LocalFault::Throttled), true),
        (failed(Timeout(Phase::Tls)), false),
        (failed(Tls("alert".into())), false),
        (failed(CertExpired), false),
        (Outcome::Inconclusive(LocalFault::NoPorts), false),
    ] {
        let mut trust = trust(https(3));
        trust.see(&scheduled(0, 0, failed(CertExpired)));
        let released = trust.see(&witness(1, 12, outcome.clone())).1;
        assert_eq!(released.is_empty(), !proves, "{outcome:?}");
    }
}

#[test]
fn days_before_expiry_are_vouched_for_by_those_that_count_days() {
    let mut checks = https(3);
    for check in &mut checks[..2] {
        check.expect = vec![Expression::parse("cert_days > 14").unwrap()];
    }
    let too_few = || failed(Unexpected { expression: "cert_days > 14".into(), seen: "3 days".into() });
    let mut ours = trust(checks.clone());
    assert_eq!(ours.see(&scheduled(0, 0, too_few())), (CLOCK, vec![], vec![1]));
    assert_eq!(ours.see(&witness(2, 12, Outcome::Passed)).1, [0_u32; 0]);
    assert_eq!(ours.see(&witness(1, 12, too_few())).1, [0_u32; 0]);
    assert!(ours.held.is_empty());
    let mut theirs = trust(checks);
    theirs.see(&scheduled(0, 0, too_few()));
    assert_eq!(theirs.see(&witness(1, 12, Outcome::Passed)).1, [0]);
}

#[test]
fn what_is_not_about_trust_passes_through() {
    let mut trust = trust(https(2));
    for outcome in [Outcome::Passed, failed(ConnectRefused), Outcome::Inconclusive(LocalFault::NoRoute)] {
        assert_eq!(trust.see(&scheduled(0, 0, outcome.clone())), (outcome, vec![], vec![]));
    }
    let manual = saw(0, Purpose::Manual, 0, failed(CertExpired));
    assert_eq!(trust.see(&manual), (failed(CertExpired), vec![], vec![]));
    let down = trust.weigh(&scheduled(0, 0, failed(CertExpired)), Class::Down);
    assert_eq!(down.outcome, failed(CertExpired), "down stays down");
}

#[test]
fn a_pass_drops_what_was_held_back_and_a_reload_keeps_it() {
    let mut passed = trust(https(2));
    passed.see(&scheduled(0, 0, failed(CertExpired)));
    passed.see(&saw(0, Purpose::Confirm(1), 500, Outcome::Passed));
    assert_eq!(passed.see(&witness(1, 600, Outcome::Passed)).1, [0_u32; 0]);

    let mut kept = trust(https(2));
    kept.see(&scheduled(0, 0, failed(CertExpired)));
    let (watches, config) = watches(https(3));
    // The watches move up by one: a new one stands before them.
    kept.arrange(&watches, &config, &[None, Some(WatchId(0)), Some(WatchId(1))]);
    assert_eq!(kept.see(&witness(2, 600, Outcome::Passed)).1, [1]);
}

#[test]
fn what_is_held_is_bounded() {
    let mut trust = trust(https(2));
    for started in 0..HELD_MAX as u64 + 10 {
        trust.see(&scheduled(0, started, failed(CertExpired)));
    }
    assert_eq!(trust.held.len(), HELD_MAX);
    assert_eq!(trust.held[0].failure.started, at(10));
}
