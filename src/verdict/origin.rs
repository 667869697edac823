//! Classes of watches to the classes of targets and origins.

use crate::probe::Target;
use crate::verdict::Class;

/// A target is as good as the worst of its watches, one per host; unknown if it has none.
pub fn target_class(watches: impl IntoIterator<Item = Class>) -> Class {
    watches.into_iter().max().unwrap_or(Class::Untried)
}

/// The class of an origin, the best of its targets'.
pub fn origin_class<'t>(targets: impl Iterator<Item = (&'t Target, Class, bool)> + Clone) -> Class {
    goes_by(targets).min().unwrap_or(Class::Untried)
}

/// The class each target goes by, in their order.
///
/// The flag tells that a target is `unseen`: our host has no route to its family. It goes by the best of the other
/// family; where nothing else is seen, by its own.
pub fn goes_by<'t>(targets: impl Iterator<Item = (&'t Target, Class, bool)> + Clone) -> impl Iterator<Item = Class> {
    let all = targets.clone();
    let seen_elsewhere = move |ipv4: bool| {
        let seen = all.clone().filter(|(target, _, unseen)| !unseen && is_ipv4(target) != Some(ipv4));
        seen.map(|(_, class, _)| class).min()
    };
    targets.map(move |(target, class, unseen)| match is_ipv4(target) {
        Some(ipv4) if unseen => seen_elsewhere(ipv4).unwrap_or(class),
        _ => class,
    })
}

fn is_ipv4(target: &Target) -> Option<bool> {
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

    #[test]
    fn a_target_is_as_good_as_its_worst_host() {
        for (watches, class) in [
            (&[][..], Untried),
            (&[Up, Up], Up),
            (&[Up, Suspect], Suspect),
            (&[Suspect, Untried], Untried),
            (&[Up, Down, Untried], Down),
        ] {
            assert_eq!(target_class(watches.iter().copied()), class, "{watches:?}");
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
                "six was up, route lost",
                vec![(four.clone(), Down, false), (six.clone(), Up, true)],
                Down,
                vec![Down, Down],
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
            let targets = targets.iter().map(|&(ref target, class, unseen)| (target, class, unseen));
            assert_eq!((origin_class(targets.clone()), goes_by(targets).collect()), (class, each), "{row}");
        }
    }
}
