//! A journal entry as one line: for the log, and for whoever an alert wakes.

use std::time::Duration;

use tracing::Level;

use crate::config::duration::show;
use crate::control::journal::{Approved, Ending, Entry, LimitTold, Rehearsed, Served, Turn, What};
use crate::decision::order::{self, Order};
use crate::decision::{Data, Reason};
use crate::dns::Name;
use crate::ready::Ready;
use crate::verdict::{Class, Grade};

/// Findings of one rehearsal that are told; `status` has all.
const FINDINGS_TOLD: usize = 2;

/// How loud an entry is.
pub fn level(what: &What) -> Level {
    match what {
        What::Turned(turn) => match turn.reason {
            Reason::Preferred | Reason::Unproven | Reason::Restored => Level::INFO,
            Reason::LastResort | Reason::TooFew | Reason::Panic | Reason::AllDead => Level::ERROR,
            _ => Level::WARN,
        },
        What::Verdict { to: Grade { class: Class::Down, .. }, .. } => Level::WARN,
        What::ReloadRefused { .. } | What::SnapshotRefused(_) => Level::ERROR,
        What::DoubtBegan { .. } | What::LimitReached { .. } => Level::WARN,
        What::Rehearsed(rehearsed) if rehearsed.to > rehearsed.from => Level::WARN,
        _ => Level::INFO,
    }
}

/// Verdicts and turns that are told one by one when many come at once.
const TOLD: usize = 100;

/// Writes entries to the log. When an origin takes thousands of names with it, the first of them are told, and how many
/// there were.
pub fn log(entries: &[Entry]) {
    let (mut verdicts, mut turns) = (0, 0);
    for entry in entries {
        let number = match entry.what {
            What::Verdict { .. } => &mut verdicts,
            What::Turned(_) => &mut turns,
            _ => {
                log_one(entry);
                continue;
            }
        };
        *number += 1;
        if *number <= TOLD {
            log_one(entry);
        }
    }
    if verdicts.max(turns) > TOLD {
        tracing::warn!(
            "{verdicts} verdicts and {turns} turns at once: the first {TOLD} of each are told here, all by `failoverd events`"
        );
    }
}

/// As one line; the errors of a refused reload follow it whole.
fn log_one(entry: &Entry) {
    let mut line = headline(&entry.what);
    if let What::ReloadRefused { errors } = &entry.what {
        line.push('\n');
        line.push_str(errors);
    }
    match level(&entry.what) {
        Level::ERROR => tracing::error!("{line}"),
        Level::WARN => tracing::warn!("{line}"),
        _ => tracing::info!("{line}"),
    }
}

/// What happened, in one line that needs no other.
pub fn headline(what: &What) -> String {
    match what {
        What::Started { version, generation } => {
            format!("failoverd {version} serves, from generation {}", generation.0)
        }
        What::Stopped => "stopped in order".to_owned(),
        What::Turned(turn) => turned(turn),
        What::Verdict { origin, target, host, from, to, why } => {
            let host = if host.is_empty() { String::new() } else { format!(" for {host}") };
            let why = why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
            format!("{origin} ({target}){host} is {}, was {}{why}", to.word(), from.word())
        }
        What::Ordered(order) => {
            let until = order.until.map_or_else(|| "until released".to_owned(), |until| format!("until {until}"));
            format!("{} orders {}, {until}: {}", order.actor, asked(order), told(&order.reason))
        }
        What::OrderEnded { order, by } => {
            let how = match by {
                Ending::Released { actor } => format!("released by {actor}"),
                Ending::Expired => "run out".to_owned(),
                Ending::Replaced { by } => format!("replaced by order {}", by.0),
                Ending::Vanished => "its target is no more in the configuration".to_owned(),
            };
            format!("the order of {} ({}) has ended: {how}", order.actor, asked(order))
        }
        What::FailbackApproved { name, actor } => format!("{actor} approves the failback of {}", name.to_host()),
        What::LimitReached { limit, waiting } => limit_reached(*limit, *waiting),
        What::LimitCleared { seconds } => format!("no name waits for the velocity limit any more, after {seconds} s"),
        What::MovesApproved(approved) => format!("{} lets {} move", approved.actor, approved_names(approved)),
        What::Reloaded { actor, warnings } => {
            let by = actor.as_ref().map_or_else(String::new, |actor| format!(" by {actor}"));
            match warnings.len() {
                0 => format!("reloaded{by}"),
                1 => format!("reloaded{by}, with a warning: {}", told(&warnings[0])),
                more => format!("reloaded{by}, with {more} warnings"),
            }
        }
        What::ReloadRefused { errors } => {
            format!(
                "reload refused, the old configuration serves on: {}",
                errors.lines().next().map_or("", |line| line.trim_start_matches("error: "))
            )
        }
        What::DoubtBegan { evidence } => {
            format!("our own sight is in doubt, the last good answers are kept: {evidence}")
        }
        What::DoubtEnded { seconds } => format!("our own sight is sound again, after {seconds} s"),
        What::Rehearsed(rehearsed) => self::rehearsed(rehearsed),
        What::SnapshotRefused(refused) => {
            format!("a snapshot was refused, the one before is served on: {refused}")
        }
    }
}

/// `the velocity limit is reached, 20 names in 1m: 12 more wait for longer confirmation`.
pub fn limit_reached(LimitTold { names, per_ms, person }: LimitTold, waiting: usize) -> String {
    let noun = if names == 1 { "name" } else { "names" };
    let waits = if waiting == 1 { "waits" } else { "wait" };
    let what = if person { "a person: `failoverd approve`" } else { "longer confirmation" };
    let per = show(Duration::from_millis(per_ms));
    format!("the velocity limit is reached, {names} {noun} in {per}: {waiting} more {waits} for {what}")
}

/// `www.example.com, api.example.com, 7 more`.
pub fn approved_names(Approved { names, others, .. }: &Approved) -> String {
    let mut names: Vec<String> = names.iter().map(Name::to_host).collect();
    if *others > 0 {
        names.push(format!("{others} more"));
    }
    names.join(", ")
}

/// `backup netlify would fail for www.example.com: its certificate is for *.netlify.app, not for www.example.com; …`.
fn rehearsed(rehearsed: &Rehearsed) -> String {
    let Rehearsed { origin, place, names, others, to, findings, .. } = rehearsed;
    let place = place.map_or_else(|| "standby".to_owned(), |place| place.to_string());
    let mut names: Vec<String> = names.iter().map(Name::to_host).collect();
    if *others > 0 {
        names.push(format!("{others} more"));
    }
    let (names, is) = (
        names.join(", "),
        match to {
            Ready::WouldFail => "would fail",
            Ready::Warn => "needs attention",
            Ready::Ready | Ready::Unknown => "is ready again",
        },
    );
    let told: Vec<String> = findings.iter().take(FINDINGS_TOLD).map(|finding| told(&finding.told())).collect();
    let why = if told.is_empty() { String::new() } else { format!(": {}", told.join("; also: ")) };
    format!("{place} {origin} {is} for {names}{why}")
}

fn turned(turn: &Turn) -> String {
    let from = turn.from.as_deref().map_or_else(|| "nothing".to_owned(), served);
    let causes = turn.evidence.iter().filter(|line| line.contains(": ")).map(String::as_str).collect::<Vec<_>>();
    let causes = if causes.is_empty() { String::new() } else { format!(" ({})", causes.join("; ")) };
    let unready = turn.evidence.iter().any(|line| line.contains(", would fail: "));
    let why = reason(&turn.reason);
    let why = if unready { why.replace("is dead", "is dead or would fail") } else { why };
    format!(
        "{}: {from} → {}, {}{causes}; serial {}, TTL {}",
        turn.name.to_host(),
        served(&turn.to),
        why,
        turn.serial,
        turn.ttl
    )
}

/// `backup netlify (192.0.2.7)`.
fn served(served: &Served) -> String {
    let data = match &served.data {
        Data::Cname(target) => target.to_host(),
        Data::Addresses(all) => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    };
    format!("{} {} ({data})", served.place, served.origins.join("+"))
}

fn reason(reason: &Reason) -> String {
    match reason {
        Reason::Preferred => "the first choice works".to_owned(),
        Reason::Unproven => "a first guess, nothing is known yet".to_owned(),
        Reason::FailedOver => "every rung before it is dead".to_owned(),
        Reason::FailbackWaits { until } => format!("failback waits until {until}"),
        Reason::FailbackManual => "failback waits for a person".to_owned(),
        Reason::LastResort => "every other rung is dead".to_owned(),
        Reason::Degraded => "a rung before it is degraded".to_owned(),
        Reason::TooFew => "every rung is dead, but some of its origins work".to_owned(),
        Reason::Panic => "every rung is dead, and so few of its origins work that all are served".to_owned(),
        Reason::AllDead => "everything is dead, the last rung is kept".to_owned(),
        Reason::Held { actor, reason, .. } => format!("held by {actor}: {}", told(reason)),
        Reason::Doubt => "our own sight is in doubt".to_owned(),
        Reason::Restored => "as before the restart".to_owned(),
        Reason::Waits { to, .. } => format!("it would go to its {to}, and waits for the velocity limit"),
    }
}

fn asked(order: &Order) -> String {
    match &order.what {
        order::What::Hold { name, place } => format!("hold {} on {place}", name.to_host()),
        order::What::Drain { origin } => format!("drain {origin}"),
    }
}

/// What a person wrote, on one line whatever it holds.
fn told(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Place;
    use crate::decision::order::OrderId;
    use crate::dns::Serial;
    use crate::snapshot::Generation;
    use crate::time::Wall;

    fn rung(place: Place, origin: &str, address: &str) -> Served {
        let data = Data::Addresses(vec![address.parse().expect("an address")]);
        Served { place, origins: vec![origin.to_owned()], data }
    }

    #[test]
    fn a_turn_says_where_from_where_to_and_why() {
        let turn = Turn {
            name: Name::absolute("www.example.com").expect("a name"),
            zone: Name::absolute("example.com").expect("a name"),
            from: Some(rung(Place::Primary, "eu", "192.0.2.1").into()),
            to: rung(Place::Backup(1), "us", "192.0.2.2").into(),
            reason: Reason::FailedOver,
            evidence: ["primary eu down: connection refused (192.0.2.1:443)", "backup us up"].map(str::to_owned).into(),
            generation: Generation(7),
            serial: Serial(12),
            ttl: 30,
            stages: Default::default(),
        };
        assert_eq!(
            headline(&What::Turned(Box::new(turn))),
            "www.example.com: primary eu (192.0.2.1) → backup us (192.0.2.2), every rung before it is dead \
             (primary eu down: connection refused (192.0.2.1:443)); serial 12, TTL 30"
        );
    }

    #[test]
    fn what_a_person_wrote_cannot_forge_a_line() {
        let order = Order {
            id: OrderId(1),
            what: order::What::Drain { origin: "eu".to_owned() },
            actor: "alice".to_owned(),
            reason: "kernel\nERROR all is lost".to_owned(),
            given: Wall::from_millis(0),
            until: None,
        };
        assert_eq!(headline(&What::Ordered(order)), "alice orders drain eu, until released: kernel ERROR all is lost");
    }
}
