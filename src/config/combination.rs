//! `check = …`: the name of one check, or several that speak together.
//!
//! ```text
//! check = "site"
//! check = { all = ["site", "db"] }
//! check = { any = ["site", "db"] }
//! check = { of = 2, checks = ["site", "db", "cdn"] }
//! ```

use toml::de::DeValue;

use super::bounds::section;
use super::errors::At;
use super::value::{Fields, Reading, Text};

/// Which checks, by name, and how many of them have to pass.
#[derive(Clone, Debug)]
pub(crate) struct ChecksSpec {
    pub(crate) at: At,
    pub(crate) need: usize,
    /// Never empty.
    pub(crate) names: Vec<Text>,
}

/// The checks that `check` names, if it is set.
pub(crate) fn checks(reading: &mut Reading<'_>, fields: &Fields<'_>) -> Option<ChecksSpec> {
    let (value, at) = fields.raw("check")?;
    let table = match value {
        DeValue::Table(_) => reading.inline(section("checks"), "check", value, at)?,
        DeValue::Array(_) => {
            let shown = reading.found.text_at(at).to_owned();
            let problem = reading.found.error(at, "`check` is a list, which does not say how many have to pass");
            problem.help(format!("write `{{ all = {shown} }}` or `{{ any = {shown} }}`"));
            return None;
        }
        _ => {
            let name = reading.text(fields, "check")?;
            return Some(ChecksSpec { at, need: 1, names: vec![name] });
        }
    };
    let set: Vec<&str> = ["all", "any", "checks"].into_iter().filter(|key| table.has(key)).collect();
    let key = match set[..] {
        [key] => key,
        [] => {
            let problem = reading.found.error(at, "no check is named here");
            problem.help("write `{ all = [\"…\", \"…\"] }`, `{ any = […] }` or `{ of = 2, checks = […] }`");
            return None;
        }
        [first, second, ..] => {
            reading
                .found
                .error(table.at_of(second), format!("both `{first}` and `{second}` are set"))
                .note(table.at_of(first), "the first")
                .help("keep one of them; checks cannot be nested");
            return None;
        }
    };
    let of = reading.integer(&table, "of");
    let names = reading.texts(&table, key)?;
    if names.is_empty() {
        reading.found.error(table.at_of(key), format!("`{key}` is empty")).help("name at least one check");
        return None;
    }
    for (place, name) in names.iter().enumerate() {
        if let Some(first) = names[..place].iter().find(|other| other.value == name.value) {
            reading
                .found
                .error(name.at, format!("check {} is named twice", name.shown()))
                .note(first.at, "first here")
                .help("remove one of them");
        }
    }
    let need = match (key, of) {
        ("checks", Some(of)) if of.value > names.len() as u64 => {
            let what = format!("{} of {} checks can never pass", of.value, names.len());
            reading.found.error(of.at, what).help("for all of them write `{ all = […] }`");
            return None;
        }
        ("checks", Some(of)) => usize::try_from(of.value).unwrap_or(usize::MAX),
        ("checks", None) => {
            if !table.has("of") {
                let problem = reading.found.error(at, "`checks` does not say how many of them have to pass");
                problem.help("add `of = …`, or write `{ all = […] }` or `{ any = […] }`");
            }
            return None;
        }
        (key, Some(of)) => {
            let problem = reading.found.error(of.at, format!("`of` means nothing beside `{key}`"));
            problem.help("write `{ of = …, checks = […] }`");
            return None;
        }
        ("all", None) => names.len(),
        _ => 1,
    };
    Some(ChecksSpec { at, need, names })
}
