//! Grades of watches to the grades of targets and origins.
//!
//! One rule combines them all: *so many of these have to work*.
//!
//! ```text
//!   what             is made of                 how many of them have to work
//!   ──────────────────────────────────────────────────────────────────────────────
//!   a check          its watches, one a host    all of them
//!   a target         its checks                 all, any or so many: as its rung says
//!   an origin        its targets                one
//!   a rung           its undrained origins      one, or its quorum
//! ```
//!
//! A watch that is stale keeps its class, here as everywhere.

use crate::probe::Target;
use crate::verdict::{Class, Grade};

/// What these are together where `need` of them have to work: as good as the `need`-th best of them, and degraded
/// where fewer than `need` work well. Down where there are not so many.
///
/// ```text
///   of these                      need 1     need 2     need 3
///   ─────────────────────────────────────────────────────────
///   up       up       down        up         up         down
///   up       suspect  untried     up         suspect    untried
///   up       untried  down        up         untried    down
///   suspect  untried  untried     suspect    untried    untried
///   untried  down     down        untried    down       down
/// ```
pub fn agreed(need: usize, all: impl IntoIterator<Item = Grade>) -> Grade {
    let (mut of_class, mut well) = ([0_usize; Class::ALL.len()], 0);
    for grade in all {
        of_class[grade.class as usize] += 1;
        well += usize::from(grade.is_well());
    }
    let mut so_far = 0;
    let reached = Class::ALL.into_iter().zip(of_class).find(|&(_, count)| {
        so_far += count;
        so_far >= need.max(1)
    });
    let class = reached.map_or(Class::Down, |(class, _)| class);
    Grade { class, degraded: class.is_usable() && well < need.max(1) }
}

/// The grade of a target: `need` of its checks have to pass, each a list of the watches of all its hosts. Unknown if
/// none of them is watched.
pub fn target_grade<W>(need: usize, checks: &[Vec<W>], grade: impl Fn(&W) -> Grade) -> Grade {
    match checks {
        [] => Class::Untried.into(),
        checks => agreed(need, checks.iter().map(|hosts| agreed(hosts.len(), hosts.iter().map(&grade)))),
    }
}

/// The grade of an origin: one of its targets has to work. Unknown if it has none.
pub fn origin_grade<'t>(targets: impl Iterator<Item = (&'t Target, Grade, bool)> + Clone) -> Grade {
    let mut targets = goes_by(targets).peekable();
    match targets.peek() {
        None => Class::Untried.into(),
        Some(_) => agreed(1, targets),
    }
}

/// The grade each target goes by, in their order.
///
/// The flag tells that a target is `unseen`: our host has no route to its family, and it follows the other. It goes by the
/// best of that one; where nothing else is seen, by its own. What is down itself stays down.
pub fn goes_by<'t>(targets: impl Iterator<Item = (&'t Target, Grade, bool)> + Clone) -> impl Iterator<Item = Grade> {
    let all = targets.clone();
    let seen_elsewhere = move |ipv4: bool| {
        let seen = all.clone().filter(|(target, _, unseen)| !unseen && is_ipv4(target) != Some(ipv4));
        seen.map(|(_, grade, _)| grade).min()
    };
    targets.map(move |(target, grade, unseen)| match is_ipv4(target) {
        Some(ipv4) if unseen && grade.class != Class::Down => seen_elsewhere(ipv4).unwrap_or(grade),
        _ => grade,
    })
}

/// `None` for what is no address.
pub(crate) fn is_ipv4(target: &Target) -> Option<bool> {
    match target {
        Target::Address(address) => Some(address.is_ipv4()),
        Target::Hostname(_) | Target::Origin(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Class::{Down, Suspect, Untried, Up};

    fn target(address: &str) -> Target {
        Target::Address(address.parse().unwrap())
    }

    /// Every grade there is.
    fn grades() -> Vec<Grade> {
        let both = Class::ALL.into_iter().flat_map(|class| [false, true].map(|degraded| Grade { class, degraded }));
        both.filter(|grade| grade.class.is_usable() || !grade.degraded).collect()
    }

    #[test]
    fn every_row_of_the_table() {
        for (all, [one, two, three]) in [
            ([Up, Up, Down], [Up, Up, Down]),
            ([Up, Suspect, Untried], [Up, Suspect, Untried]),
            ([Up, Untried, Down], [Up, Untried, Down]),
            ([Suspect, Untried, Untried], [Suspect, Untried, Untried]),
            ([Untried, Down, Down], [Untried, Down, Down]),
        ] {
            for (need, class) in [(0, one), (1, one), (2, two), (3, three), (4, Down)] {
                assert_eq!(agreed(need, all.map(Grade::from)), class.into(), "{need} of {all:?}");
            }
        }
    }

    /// Every grade by every grade by every grade, and every need: told by counting, in the words of the manual.
    #[test]
    fn so_many_have_to_work() {
        let all = grades();
        assert_eq!(all.len(), 6);
        for first in &all {
            for second in &all {
                for third in &all {
                    let three = [*first, *second, *third];
                    for need in 1..=3 {
                        let count = |wanted: &dyn Fn(&Grade) -> bool| three.iter().filter(|one| wanted(one)).count();
                        let class = if count(&|one| one.class == Up) >= need {
                            Up
                        } else if count(&|one| one.class.is_usable()) >= need {
                            Suspect
                        } else if count(&|one| one.class != Down) >= need {
                            Untried
                        } else {
                            Down
                        };
                        let degraded = class.is_usable() && count(&|one| one.is_well()) < need;
                        assert_eq!(agreed(need, three), Grade { class, degraded }, "{need} of {three:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_target_needs_all_hosts_of_so_many_checks() {
        let (both, half, none) = (vec![Up, Suspect], vec![Up, Down], vec![Untried, Untried]);
        for (row, need, checks, class) in [
            ("unasked", 1, vec![], Untried),
            ("one check, the worst host", 1, vec![&both], Suspect),
            ("one host is down", 1, vec![&half], Down),
            ("all", 2, vec![&both, &half], Down),
            ("any", 1, vec![&both, &half], Suspect),
            ("any, one unknown", 1, vec![&half, &none], Untried),
            ("2 of 3", 2, vec![&both, &half, &none], Untried),
            ("3 of 3", 3, vec![&both, &half, &none], Down),
        ] {
            let checks: Vec<Vec<Class>> = checks.into_iter().cloned().collect();
            assert_eq!(target_grade(need, &checks, |&class| class.into()), class.into(), "{row}");
        }
    }

    #[test]
    fn an_origin_is_as_good_as_its_best_target_and_the_unseen_follow() {
        let (four, five, six) = (target("192.0.2.4"), target("192.0.2.5"), target("2001:db8::6"));
        type Row<'a> = (&'a str, Vec<(Target, Class, bool)>, Class, Vec<Class>);
        let rows: Vec<Row<'_>> = vec![
            ("no target", vec![], Untried, vec![]),
            ("one", vec![(four.clone(), Down, false)], Down, vec![Down]),
            ("best", vec![(four.clone(), Down, false), (five.clone(), Suspect, false)], Suspect, vec![Down, Suspect]),
            ("both families", vec![(four.clone(), Down, false), (six.clone(), Up, false)], Up, vec![Down, Up]),
            ("no route to six", vec![(four.clone(), Up, false), (six.clone(), Untried, true)], Up, vec![Up, Up]),
            (
                "six followed four, which died",
                vec![(four.clone(), Down, false), (six.clone(), Up, true)],
                Down,
                vec![Down, Down],
            ),
            (
                "six was down before its route was lost",
                vec![(four.clone(), Up, false), (six.clone(), Down, true)],
                Up,
                vec![Up, Down],
            ),
            (
                "six follows the best of four",
                vec![(four.clone(), Down, false), (five.clone(), Up, false), (six.clone(), Untried, true)],
                Up,
                vec![Down, Up, Up],
            ),
            ("nothing is seen", vec![(four, Up, true), (six, Untried, true)], Up, vec![Up, Untried]),
        ];
        for (row, targets, class, each) in rows {
            let targets = targets.iter().map(|&(ref target, class, unseen)| (target, class.into(), unseen));
            let by: Vec<_> = goes_by(targets.clone()).map(|grade| grade.class).collect();
            assert_eq!((origin_grade(targets), by), (class.into(), each), "{row}");
        }
    }
}
