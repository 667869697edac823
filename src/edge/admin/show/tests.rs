//! Views of a hand-made snapshot.

use super::probing::expectations;
use super::*;
use crate::edge::admin::fixture::{self, ago, now};
use crate::probe::Outcome;

fn seen<T>(snapshot: &Snapshot, figures: Option<&control::Figures>, look: impl FnOnce(Sight<'_>) -> T) -> T {
    let (config, readiness) = (fixture::config(), fixture::ready());
    look(Sight { snapshot, config: &config, readiness: &readiness, figures, started: ago(90_061), now: now() })
}

fn because(snapshot: &Snapshot) -> String {
    seen(snapshot, None, |sight| sight.status().names[0].serving.clone().unwrap().because)
}

#[test]
fn status_tells_what_is_served_and_what_of_it_was_seen() {
    let figures = fixture::figures();
    let status = seen(&fixture::snapshot(1, Reason::FailedOver), Some(&figures), |sight| sight.status());
    assert_eq!((status.node.as_str(), status.generation, status.uptime_seconds), ("ns1", 42, 86_400));
    let journal = status.journal.unwrap();
    assert_eq!((journal.recorded, journal.committed, journal.durable), (23, 20, false));

    let name = &status.names[0];
    assert_eq!((name.name.as_str(), name.zone.as_str(), name.since_seconds), ("www.example.com", "example.com", 129));
    let serving = name.serving.as_ref().unwrap();
    assert_eq!(
        (serving.rung.as_str(), serving.origins.as_slice(), serving.why.as_str()),
        ("backup", ["netlify".to_owned()].as_slice(), "failed-over")
    );
    assert_eq!(serving.because, "primary (vercel) is down: connection refused");
    let told: Vec<_> = name
        .rungs
        .iter()
        .map(|r| (r.rung.as_str(), r.class, r.served, r.unchecked, r.origins[0].since_seconds))
        .collect();
    assert_eq!(
        told,
        [
            ("primary", Class::Down, false, false, Some(130)),
            ("backup", Class::Up, true, false, Some(3_600)),
            ("emergency", Class::Untried, false, true, None),
        ]
    );
    let former = name.former.as_ref().unwrap();
    assert_eq!((former.rung.as_str(), former.remaining_seconds), ("primary", 0));
}

#[test]
fn a_control_loop_that_does_not_answer_is_told() {
    let status = seen(&fixture::snapshot(1, Reason::FailedOver), None, |sight| sight.status());
    assert!(status.journal.is_none());
    assert_eq!(status.degraded.len(), 1);
}

#[test]
fn reasons_name_the_rung_they_speak_of() {
    let until = now().wall + Duration::from_secs(60);
    assert_eq!(
        because(&fixture::snapshot(2, Reason::LastResort)),
        "last resort: primary (vercel) is down: connection refused"
    );
    assert_eq!(
        because(&fixture::snapshot(2, Reason::FailbackWaits { until })),
        "backup is up again; failback at 10:33:07 UTC"
    );
    assert_eq!(
        because(&fixture::snapshot(2, Reason::FailbackManual)),
        "backup is up again; waits for `failoverd failback www.example.com`"
    );
    assert_eq!(because(&fixture::snapshot(0, Reason::FailedOver)), "no rung before it is up");
}

/// The snapshot with its first rung, and the watch of that, as `change` makes them.
fn with_primary(reason: Reason, change: impl Fn(&mut RungStatus, &mut WatchStatus)) -> Snapshot {
    let mut snapshot = fixture::snapshot(1, reason);
    let mut steer = (**snapshot.status.steers.get(0).unwrap()).clone();
    let mut rungs = steer.rungs.to_vec();
    let mut watches: Vec<_> = snapshot.status.watches.iter().map(|watch| (**watch).clone()).collect();
    change(&mut rungs[0], &mut watches[0]);
    steer.rungs = rungs.into();
    snapshot.status.steers = [std::sync::Arc::new(steer)].into_iter().collect();
    snapshot.status.watches = watches.into_iter().map(std::sync::Arc::new).collect();
    snapshot
}

#[test]
fn what_is_degraded_says_by_which_rule() {
    let snapshot = with_primary(Reason::Degraded, |rung, watch| {
        (rung.class, rung.degraded) = (Class::Up, true);
        rung.origins = [OriginStatus { class: Class::Up, degraded: true, ..rung.origins[0].clone() }].into();
        watch.verdict = Verdict::Up { since: ago(60) };
        watch.degraded = Some("p90 time > 800ms over 20".into());
    });
    assert_eq!(because(&snapshot), "primary (vercel) is degraded: p90 time > 800ms over 20");
    let status = seen(&snapshot, None, |sight| sight.status());
    let primary = &status.names[0].rungs[0];
    assert_eq!((primary.degraded, primary.needs), (true, 1));
    assert_eq!(primary.origins[0].degraded.as_deref(), Some("p90 time > 800ms over 20"));
}

#[test]
fn a_rung_that_is_short_says_of_what_and_which_check_speaks() {
    let snapshot = with_primary(Reason::FailedOver, |rung, watch| {
        let vercel = OriginStatus { watches: [WatchId(1), WatchId(0)].into(), ..rung.origins[0].clone() };
        let netlify = OriginStatus { watches: [WatchId(1)].into(), class: Class::Up, ..vercel.clone() };
        rung.origins = [vercel, OriginStatus { name: "netlify".into(), ..netlify }].into();
        rung.quorum.min_up = 2;
        (watch.check, watch.check_name) = (CheckId(7), "db".into());
    });
    assert_eq!(because(&snapshot), "primary (vercel) is down: db: connection refused, (netlify) is up (needs 2 of 2)");
}

#[test]
fn orders_count_down_and_stand_beside_their_name() {
    let mut snapshot = fixture::snapshot(2, Reason::AllDead);
    snapshot.status.orders = std::sync::Arc::new(vec![fixture::hold(Some(now().wall + Duration::from_millis(1_500)))]);
    let status = seen(&snapshot, None, |sight| sight.status());
    assert_eq!(status.orders[0].remaining_seconds, Some(2));
    assert_eq!(status.names[0].order.as_ref(), status.orders.first());
    snapshot.status.orders = std::sync::Arc::new(vec![fixture::hold(None)]);
    let status = seen(&snapshot, None, |sight| sight.status());
    assert_eq!(status.orders[0].remaining_seconds, None);
}

#[test]
fn explain_finds_the_name_as_people_write_it() {
    let (snapshot, figures) = (fixture::snapshot(1, Reason::FailedOver), fixture::figures());
    for text in ["www.example.com", "WWW.Example.com."] {
        let told = seen(&snapshot, Some(&figures), |sight| sight.explain(text)).unwrap();
        assert_eq!(told.answer, ["www.example.com. 30 IN CNAME netlify.example.net."]);
        assert_eq!(told.watches.len(), 2);
        let (primary, backup) = (&told.watches[0], &told.watches[1]);
        assert_eq!(primary.progress.as_deref(), Some("1 of 3 passes towards up"));
        assert_eq!(primary.cause.as_deref(), Some("connection refused"));
        assert_eq!(primary.next_in_ms, Some(3_800));
        let last = primary.last.as_ref().unwrap();
        assert_eq!((last.purpose.as_str(), last.ago_ms, last.total_ms), ("confirmation 2", 2_000, 12.7));
        assert_eq!(last.started, words::timestamp(ago(2).wall));
        assert_eq!(backup.last.as_ref().unwrap().certificate.as_ref().unwrap().days_left, 9);
    }
    for text in ["example.com", "", "vercel"] {
        assert!(seen(&snapshot, None, |sight| sight.explain(text)).is_none(), "{text}");
    }
}

#[test]
fn a_probe_of_a_watch_that_is_gone_is_left_out() {
    let snapshot = fixture::snapshot(1, Reason::FailedOver);
    let probed = |id| seen(&snapshot, None, |sight| sight.probed(WatchId(id), &fixture::passed()));
    assert_eq!(probed(1).unwrap().origin, "netlify");
    assert!(probed(2).is_none());
}

#[test]
fn the_first_expectation_that_breaks_ends_the_rest() {
    let broken = Cause::Unexpected { expression: "b".to_owned(), seen: "c".to_owned() };
    for (outcome, held) in [
        (Outcome::Passed, [Some(true), Some(true), Some(true)]),
        (Outcome::Failed(broken), [Some(true), Some(false), None]),
        (Outcome::Failed(Cause::ConnectRefused), [None, None, None]),
    ] {
        let told: Vec<_> = expectations(["a", "b", "c"].into_iter(), &outcome).iter().map(|one| one.held).collect();
        assert_eq!(told, held, "{outcome:?}");
    }
}
