//! Facts of one probe to its outcome: who is at fault?

use serde_json::Value;

use crate::config::Check;
use crate::config::expect::{Expression, Seen, Subject};
use crate::probe::{Beat, Cause, Facts, LocalFault, Outcome, Phase, Trouble, TroubleKind};
use crate::time::Wall;

/// How much of a body expressions look at, in bytes.
pub const BODY_MAX: usize = 64 * 1024;
const TOO_MANY_REQUESTS: u16 = 429;

/// What facts mean.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judged {
    pub outcome: Outcome,
    /// `warn` expressions that did not hold, as they stand in the file, with what was seen.
    pub warnings: Vec<String>,
}

/// Judges one probe. `wall` dates the certificate.
///
/// Passed is a probe that came to its end and saw what `expect` asks for. Inconclusive are only: no file descriptor,
/// port or process of our own, no route of our own, resolvers that do not answer, what our own host forbids or lacks to
/// ask at all, and 429 where no expression accepts it. All else is the origin's.
pub fn judge(check: &Check, facts: &Facts, wall: Wall) -> Judged {
    let is_http = check.ask.is_web();
    let of = |subject| check.expect.iter().filter(move |expression| expression.subject() == subject);
    let body = &facts.body[..facts.body.len().min(BODY_MAX)];
    let is_json = check.expect.iter().chain(&check.warn).any(|expression| expression.subject() == Subject::Json);
    let json: Option<Value> = is_json.then(|| serde_json::from_slice(body).ok()).flatten();
    let seen = Seen {
        status: facts.status,
        headers: &facts.headers,
        body,
        json: json.as_ref(),
        exit: facts.exit,
        reply: facts.reply.as_ref(),
        wall,
        // How long our resolvers take is not the origin's doing.
        time: facts.phases.total().saturating_sub(facts.phases.resolve.unwrap_or_default()),
        cert_days: facts
            .certificate
            .as_ref()
            .map(|certificate| certificate.not_after.saturating_sub(wall.seconds()).div_euclid(86_400)),
    };
    let silent = |outcome| Judged { outcome, warnings: Vec::new() };

    let accepts = |expression: &Expression| expression.holds(&seen).is_ok();
    if is_http && facts.status == Some(TOO_MANY_REQUESTS) && !of(Subject::Status).any(accepts) {
        return silent(Outcome::Inconclusive(LocalFault::Throttled));
    }
    if let Some(trouble) = &facts.trouble {
        return silent(blame(trouble));
    }
    if check.ask.is_awaited() {
        return silent(awaited(check, facts.beat));
    }
    let outcome = if is_http && facts.status.is_none() {
        Outcome::Failed(Cause::Protocol("no status".to_owned()))
    } else {
        let usual = check.ask.usual().filter(|&(subject, _)| of(subject).next().is_none());
        let usual = usual.and_then(|(_, text)| Expression::parse(text).ok());
        let mut all = usual.iter().chain(&check.expect);
        let broken = all.find_map(|expression| Some((expression, expression.holds(&seen).err()?)));
        broken.map_or(Outcome::Passed, |(expression, seen)| {
            Outcome::Failed(Cause::Unexpected { expression: expression.text.clone(), seen })
        })
    };
    let warn =
        |expression: &Expression| expression.holds(&seen).err().map(|seen| format!("{}: saw {seen}", expression.text));
    Judged { outcome, warnings: check.warn.iter().filter_map(warn).collect() }
}

/// An origin that calls us may be late by `timeout`.
fn awaited(check: &Check, beat: Option<Beat>) -> Outcome {
    match beat {
        Some(beat) if beat.age > check.every.saturating_add(check.timeout) => {
            Outcome::Failed(Cause::Silent(Some(beat.age.as_secs())))
        }
        Some(Beat { failed: true, .. }) => Outcome::Failed(Cause::Reported),
        Some(_) => Outcome::Passed,
        None => Outcome::Failed(Cause::Silent(None)),
    }
}

/// Whose trouble is it?
fn blame(trouble: &Trouble) -> Outcome {
    let cause = match &trouble.kind {
        TroubleKind::PingForbidden => return Outcome::Inconclusive(LocalFault::PingForbidden),
        TroubleKind::Program(why) => return Outcome::Inconclusive(LocalFault::Program(why.clone())),
        TroubleKind::NoProcess => return Outcome::Inconclusive(LocalFault::NoProcess),
        TroubleKind::Deaf => return Outcome::Inconclusive(LocalFault::Deaf),
        TroubleKind::Descriptors => return Outcome::Inconclusive(LocalFault::NoDescriptors),
        TroubleKind::Ports => return Outcome::Inconclusive(LocalFault::NoPorts),
        TroubleKind::Busy => return Outcome::Inconclusive(LocalFault::Busy),
        TroubleKind::Unreachable { routed: false } => return Outcome::Inconclusive(LocalFault::NoRoute),
        TroubleKind::ResolverFailed => return Outcome::Inconclusive(LocalFault::Resolver),
        TroubleKind::Timeout | TroubleKind::Refused | TroubleKind::Reset if trouble.phase == Phase::Resolve => {
            return Outcome::Inconclusive(LocalFault::Resolver);
        }
        TroubleKind::Refused if matches!(trouble.phase, Phase::Connect | Phase::Answer) => Cause::ConnectRefused,
        TroubleKind::Refused | TroubleKind::Reset => Cause::Reset(trouble.phase),
        TroubleKind::Timeout if trouble.phase == Phase::Connect => Cause::ConnectTimeout,
        TroubleKind::Timeout => Cause::Timeout(trouble.phase),
        TroubleKind::Unreachable { routed: true } => Cause::Unreachable,
        TroubleKind::NameGone => Cause::NameGone,
        TroubleKind::CertExpired => Cause::CertExpired,
        TroubleKind::CertNotYetValid => Cause::CertNotYetValid,
        TroubleKind::CertWrongName => Cause::CertWrongName,
        TroubleKind::CertUnknownIssuer => Cause::CertUnknownIssuer,
        TroubleKind::CertInvalid(why) => Cause::CertInvalid(why.clone()),
        TroubleKind::Tls(why) => Cause::Tls(why.clone()),
        TroubleKind::Protocol(why) => Cause::Protocol(why.clone()),
    };
    Outcome::Failed(cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Ask;
    use crate::probe::{Certificate, Phases, fixture};
    use std::sync::Arc;
    use std::time::Duration;

    const NOW: Wall = Wall::from_millis(1_795_257_127_512);

    fn check(expect: &[&str], warn: &[&str]) -> Check {
        let parse = |texts: &[&str]| texts.iter().map(|text| Expression::parse(text).unwrap()).collect();
        Check { expect: parse(expect), warn: parse(warn), ..fixture::check("site") }
    }

    fn answered(status: u16, body: &str) -> Facts {
        Facts {
            local: None,
            phases: Phases { connect: Some(Duration::from_millis(40)), ..Phases::default() },
            status: Some(status),
            headers: Vec::new(),
            body: body.into(),
            certificate: Some(Arc::new(Certificate {
                subject: "CN=www.example.com".into(),
                issuer: "CN=R1".into(),
                names: vec!["www.example.com".into()],
                not_before: 0,
                not_after: NOW.seconds() + 9 * 86_400 + 5,
                chain: 2,
            })),
            ..Facts::default()
        }
    }

    fn troubled(phase: Phase, kind: TroubleKind) -> Facts {
        Facts { trouble: Some(Trouble { phase, kind }), ..Facts::default() }
    }

    #[test]
    fn only_trouble_of_our_own_is_inconclusive() {
        use Phase::{Body, Connect, FirstByte, Resolve, Tls};
        let local = Outcome::Inconclusive;
        let failed = Outcome::Failed;
        for (phase, kind, outcome) in [
            (Connect, TroubleKind::Descriptors, local(LocalFault::NoDescriptors)),
            (Connect, TroubleKind::Ports, local(LocalFault::NoPorts)),
            (Connect, TroubleKind::Busy, local(LocalFault::Busy)),
            (Connect, TroubleKind::Unreachable { routed: false }, local(LocalFault::NoRoute)),
            (Connect, TroubleKind::Unreachable { routed: true }, failed(Cause::Unreachable)),
            (Resolve, TroubleKind::ResolverFailed, local(LocalFault::Resolver)),
            (Resolve, TroubleKind::Timeout, local(LocalFault::Resolver)),
            (Resolve, TroubleKind::Refused, local(LocalFault::Resolver)),
            (Resolve, TroubleKind::NameGone, failed(Cause::NameGone)),
            (Connect, TroubleKind::Refused, failed(Cause::ConnectRefused)),
            (Tls, TroubleKind::Refused, failed(Cause::Reset(Tls))),
            (Tls, TroubleKind::Reset, failed(Cause::Reset(Tls))),
            (Connect, TroubleKind::Timeout, failed(Cause::ConnectTimeout)),
            (Tls, TroubleKind::Timeout, failed(Cause::Timeout(Tls))),
            (FirstByte, TroubleKind::Timeout, failed(Cause::Timeout(FirstByte))),
            (Body, TroubleKind::Timeout, failed(Cause::Timeout(Body))),
            (Tls, TroubleKind::CertExpired, failed(Cause::CertExpired)),
            (Tls, TroubleKind::CertNotYetValid, failed(Cause::CertNotYetValid)),
            (Tls, TroubleKind::CertWrongName, failed(Cause::CertWrongName)),
            (Tls, TroubleKind::CertUnknownIssuer, failed(Cause::CertUnknownIssuer)),
            (Tls, TroubleKind::CertInvalid("x".into()), failed(Cause::CertInvalid("x".into()))),
            (Tls, TroubleKind::Tls("alert".into()), failed(Cause::Tls("alert".into()))),
            (FirstByte, TroubleKind::Protocol("no HTTP".into()), failed(Cause::Protocol("no HTTP".into()))),
        ] {
            let judged = judge(&check(&[], &["time < 1ms"]), &troubled(phase, kind.clone()), NOW);
            assert_eq!(judged, Judged { outcome, warnings: vec![] }, "{phase} {kind:?}");
        }
    }

    #[test]
    fn a_status_is_expected_even_where_none_is_asked_for() {
        let unexpected = |expression: &str, seen: &str| {
            Outcome::Failed(Cause::Unexpected { expression: expression.into(), seen: seen.into() })
        };
        for (expect, facts, outcome) in [
            (&[][..], answered(204, ""), Outcome::Passed),
            (&[], answered(302, ""), unexpected("status in 200..299", "302")),
            (&["body ~ 'ok'"], answered(500, "ok"), unexpected("status in 200..299", "500")),
            (&["body ~ 'ok'"], answered(200, "no"), unexpected("body ~ 'ok'", "'no'")),
            (&["body ~ 'ok'"], answered(200, "ok"), Outcome::Passed),
            (&["status == 302"], answered(302, ""), Outcome::Passed),
            (&["status == 302"], answered(200, ""), unexpected("status == 302", "200")),
            (&["time < 1ms"], answered(200, ""), unexpected("time < 1ms", "40 ms")),
            (&["cert_days > 9"], answered(200, ""), unexpected("cert_days > 9", "9 days")),
            (&["cert_days > 8"], answered(200, ""), Outcome::Passed),
            (&[], answered(429, ""), Outcome::Inconclusive(LocalFault::Throttled)),
            (&["body ~ 'slow'"], answered(429, "slow"), Outcome::Inconclusive(LocalFault::Throttled)),
            (&["status == 200"], answered(429, ""), Outcome::Inconclusive(LocalFault::Throttled)),
            (&["status in [200, 429]"], answered(429, ""), Outcome::Passed),
            (&["status in 400..499", "body ~ 'ok'"], answered(429, "no"), unexpected("body ~ 'ok'", "'no'")),
            (&[], Facts::default(), Outcome::Failed(Cause::Protocol("no status".into()))),
        ] {
            assert_eq!(judge(&check(expect, &[]), &facts, NOW).outcome, outcome, "{expect:?}");
        }
    }

    #[test]
    fn warnings_move_nothing_and_tell_what_was_seen() {
        let judged = judge(&check(&[], &["cert_days > 14", "time < 1s", "body ~ 'ok'"]), &answered(200, "no"), NOW);
        assert_eq!(judged.outcome, Outcome::Passed);
        assert_eq!(judged.warnings, ["cert_days > 14: saw 9 days", "body ~ 'ok': saw 'no'"]);
    }

    #[test]
    fn a_tcp_check_is_about_the_connection() {
        let tcp = |expect: &[&str]| Check { ask: Ask::Tcp, ..check(expect, &[]) };
        let connected = Facts {
            phases: Phases { connect: Some(Duration::from_millis(40)), ..Phases::default() },
            ..Facts::default()
        };
        assert_eq!(judge(&tcp(&[]), &connected, NOW).outcome, Outcome::Passed);
        assert_eq!(judge(&tcp(&["time < 1s"]), &connected, NOW).outcome, Outcome::Passed);
        assert!(matches!(judge(&tcp(&["time < 10ms"]), &connected, NOW).outcome, Outcome::Failed(_)));
    }

    #[test]
    fn what_our_own_host_forbids_or_lacks_is_not_the_origins() {
        for (kind, fault) in [
            (TroubleKind::PingForbidden, LocalFault::PingForbidden),
            (TroubleKind::NoProcess, LocalFault::NoProcess),
            (TroubleKind::Program("/x: gone".into()), LocalFault::Program("/x: gone".into())),
            (TroubleKind::Deaf, LocalFault::Deaf),
        ] {
            let judged = judge(&check(&[], &[]), &troubled(Phase::Answer, kind), NOW);
            assert_eq!(judged.outcome, Outcome::Inconclusive(fault));
        }
        let refused = judge(&check(&[], &[]), &troubled(Phase::Answer, TroubleKind::Refused), NOW);
        assert_eq!(refused.outcome, Outcome::Failed(Cause::ConnectRefused), "of a datagram");
    }

    #[test]
    fn each_way_has_what_it_expects_where_nothing_else_is_said_of_it() {
        let exit = |code| Facts { exit: Some(code), body: b"{\"n\": 1}".to_vec(), ..Facts::default() };
        let exec = |expect: &[&str]| Check { ask: Ask::Exec(vec!["/x".into()]), ..check(expect, &[]) };
        assert_eq!(judge(&exec(&[]), &exit(0), NOW).outcome, Outcome::Passed);
        assert_eq!(judge(&exec(&["json '/n' == 1"]), &exit(0), NOW).outcome, Outcome::Passed);
        let failed =
            Outcome::Failed(Cause::Unexpected { expression: "exit == 0".into(), seen: "exit 1, '{\"n\": 1}'".into() });
        assert_eq!(judge(&exec(&["json '/n' == 1"]), &exit(1), NOW).outcome, failed);
        assert_eq!(judge(&exec(&["exit < 2"]), &exit(1), NOW).outcome, Outcome::Passed);
        assert_eq!(
            judge(&Check { ask: Ask::Icmp, ..check(&[], &[]) }, &Facts::default(), NOW).outcome,
            Outcome::Passed
        );
    }

    #[test]
    fn an_origin_that_calls_may_be_late_by_the_timeout() {
        let secret = crate::config::Secret("0123456789abcdef".into());
        let beat = Check { ask: Ask::Heartbeat(secret), ..check(&[], &[]) };
        let of = |seconds, failed| {
            let beat = Some(Beat { age: Duration::from_secs(seconds), failed });
            Facts { beat, ..Facts::default() }
        };
        for (facts, outcome) in [
            (of(7, false), Outcome::Passed),
            (of(8, false), Outcome::Failed(Cause::Silent(Some(8)))),
            (of(7, true), Outcome::Failed(Cause::Reported)),
            (of(8, true), Outcome::Failed(Cause::Silent(Some(8)))),
            (Facts::default(), Outcome::Failed(Cause::Silent(None))),
        ] {
            assert_eq!(judge(&beat, &facts, NOW).outcome, outcome);
        }
    }

    #[test]
    fn only_the_first_64_kib_of_a_body_count() {
        let mut body = "x".repeat(BODY_MAX);
        body.push_str("late");
        assert_ne!(judge(&check(&["body ~ 'late'"], &[]), &answered(200, &body), NOW).outcome, Outcome::Passed);
        assert_eq!(judge(&check(&["body ~ 'xxx'"], &[]), &answered(200, &body), NOW).outcome, Outcome::Passed);
    }
}
