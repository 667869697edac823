//! `[velocity]`: how many names automation may move at once.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeValue;

use super::bounds::{TABLES_MAX, section};
use super::duration::show;
use super::errors::{Findings, Located, nearest, quoted};
use super::spec::Block;
use super::value::{Fields, Reading, preset_span};
use super::{Origin, Steer};

/// The velocity limit, where there is one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Velocity {
    pub names: Names,
    /// In any window of this length.
    pub per: Duration,
    pub beyond: Beyond,
}

/// How many names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Names {
    /// 1 and more.
    Number(usize),
    /// So many percent of the steered names, rounded down; 1 to 100.
    Share(u8),
}

/// What those beyond the limit wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Beyond {
    /// Room, once they have wanted the same move for so long.
    Confirm { longer: Duration },
    /// A person (`failoverd approve`).
    Person,
}

impl Velocity {
    /// How many of so many steered names may move in one window. At least one.
    pub fn names_of(&self, steered: usize) -> usize {
        match self.names {
            Names::Number(number) => number,
            Names::Share(percent) => (steered * usize::from(percent) / 100).max(1),
        }
    }

    /// How long it takes until the last of `names` that want to move at once has moved; `None` if a person decides.
    pub fn cures(&self, names: usize, steered: usize) -> Option<Duration> {
        let windows = names.div_ceil(self.names_of(steered)).saturating_sub(1);
        match self.beyond {
            _ if windows == 0 => Some(Duration::ZERO),
            Beyond::Person => None,
            Beyond::Confirm { longer } => {
                let last = self.per.saturating_mul(u32::try_from(windows).unwrap_or(u32::MAX));
                Some(last.max(longer))
            }
        }
    }
}

/// Reads the table. `None` and an error if it says nothing of use.
pub(crate) fn read(reading: &mut Reading<'_>, block: &Block<'_>) -> Option<Located<Velocity>> {
    let of = section("velocity");
    let fields = reading.open(of, block.at, block.table);
    let per = reading.span(&fields, "per").map_or_else(|| preset_span(of, "per"), |span| span.value);
    let longer = reading.span(&fields, "longer");
    let is_person = match reading.text(&fields, "beyond") {
        Some(text) if text.value == "person" => true,
        Some(text) if text.value != "confirm" => {
            let what = format!("{} is nothing that names can wait for", text.shown());
            let problem = reading.found.error(text.at, what);
            if let Some(near) = nearest(&text.value, ["confirm", "person"]) {
                problem.label(format!("did you mean `{near}`?"));
            }
            problem.help("`\"confirm\"` is longer confirmation, `\"person\"` is `failoverd approve`");
            false
        }
        _ => false,
    };
    if let Some(longer) = longer.as_ref().filter(|_| is_person) {
        reading
            .found
            .warning(longer.at, "`longer` means nothing where names wait for a person")
            .help("leave it out, or set `beyond = \"confirm\"`");
    }
    let longer = longer.map_or_else(|| preset_span(of, "longer"), |span| span.value);
    let beyond = if is_person { Beyond::Person } else { Beyond::Confirm { longer } };
    let names = names(reading, &fields)?;
    Some(Located { value: Velocity { names, per, beyond }, at: fields.at_of("names") })
}

/// `20` or `"10%"`.
fn names(reading: &mut Reading<'_>, fields: &Fields<'_>) -> Option<Names> {
    let Some((value, at)) = fields.raw("names") else {
        if !fields.has_misspelt("names") {
            let problem = reading.found.error(fields.at, "`[velocity]` has no `names`");
            problem.help("add `names = 20` or `names = \"10%\"`; or remove the table, and nothing is limited");
        }
        return None;
    };
    match value {
        DeValue::Integer(written) => {
            let number = usize::from_str_radix(&written.as_str().replace('_', ""), written.radix()).ok();
            let number = number.filter(|number| (1..=TABLES_MAX).contains(number));
            if number.is_none() {
                let shown = quoted(reading.found.text_at(at));
                let problem =
                    reading.found.error(at, format!("`names` must be between 1 and {TABLES_MAX}, not {shown}"));
                problem.help("with 0 nothing would ever move by itself: `failoverd hold` is for that");
            }
            number.map(Names::Number)
        }
        DeValue::String(text) => {
            let text = reading.expand(text, at)?;
            let share = text.value.strip_suffix('%').and_then(|number| number.trim().parse().ok());
            let share = share.filter(|share| (1..=100).contains(share));
            if share.is_none() {
                let problem = reading.found.error(at, format!("{} is no share of the names", text.shown()));
                match text.value.parse::<u64>() {
                    Ok(number) => problem.help(format!("write `names = {number}`, or a share like `\"10%\"`")),
                    Err(_) => problem.help("a share is between `\"1%\"` and `\"100%\"`, in whole percent"),
                };
            }
            share.map(Names::Share)
        }
        other => {
            reading.mistyped("names", other, at, "a number or a share, like `20` or `\"10%\"`", Some("20".to_owned()));
            None
        }
    }
}

/// Says so where an outage of one origin takes more names with it than may move at once.
pub(crate) fn weigh(
    found: &mut Findings,
    velocity: &Located<Velocity>,
    steers: &[Arc<Steer>],
    origins: &[Arc<Origin>],
) {
    let mut stands = vec![0usize; origins.len()];
    for origin in steers.iter().filter_map(|steer| steer.rungs.first()).flat_map(|rung| &rung.origins) {
        if let Some(count) = stands.get_mut(origin.0 as usize) {
            *count += 1;
        }
    }
    // Of equals the first of the file.
    let Some((origin, &names)) = stands.iter().enumerate().max_by_key(|&(at, &names)| (names, Reverse(at))) else {
        return;
    };
    let limit = velocity.value.names_of(steers.len());
    if names <= limit {
        return;
    }
    let name = origins.get(origin).map_or("", |origin| &origin.name);
    let rest = match velocity.value.cures(names, steers.len()) {
        Some(span) => format!("the last of them moves {} after the first", show(span)),
        None => format!("{} of them would wait for a person", names - limit),
    };
    let what = format!(
        "{names} names stand on {}, and {limit} may move in {}: when it dies, {rest}",
        quoted(name),
        show(velocity.value.per)
    );
    found.warning(velocity.at, what);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn velocity(names: Names, beyond: Beyond) -> Velocity {
        Velocity { names, per: Duration::from_secs(60), beyond }
    }

    #[test]
    fn a_share_is_rounded_down_to_one_name_at_least() {
        let share = |percent| velocity(Names::Share(percent), Beyond::Person);
        for (percent, steered, names) in [(10, 300, 30), (10, 19, 1), (1, 3, 1), (100, 7, 7), (50, 0, 1)] {
            assert_eq!(share(percent).names_of(steered), names, "{percent}% of {steered}");
        }
        assert_eq!(velocity(Names::Number(20), Beyond::Person).names_of(3), 20);
    }

    #[test]
    fn a_cure_takes_as_many_windows_as_it_needs() {
        let confirm = |longer| Beyond::Confirm { longer: Duration::from_secs(longer) };
        for (beyond, names, seconds) in [
            (confirm(30), 20, Some(0)),
            (confirm(30), 21, Some(60)),
            (confirm(30), 40, Some(60)),
            (confirm(30), 41, Some(120)),
            (confirm(90), 21, Some(90)),
            (Beyond::Person, 20, Some(0)),
            (Beyond::Person, 21, None),
        ] {
            let limit = velocity(Names::Number(20), beyond);
            assert_eq!(limit.cures(names, 100), seconds.map(Duration::from_secs), "{names} {beyond:?}");
        }
    }
}
