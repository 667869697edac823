//! `failoverd check`: the same code path as start, stopped early.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::cli::exit::{Exit, Failure, warn};
use crate::cli::look::{BOLD, Look, Table, Text};
use crate::cli::{discover, out};
use crate::config::duration::show;
use crate::config::{Beyond, Config, SteerId, budget};
use crate::edge::load;

#[derive(clap::Args, Clone, Debug)]
pub(super) struct Args {
    /// Configuration file; the same as --config
    pub(super) file: Option<PathBuf>,
}

pub(super) fn check(given: Option<&Path>) -> Result<Exit, Failure> {
    let path = discover::config(given)?;
    let loaded = match load::load(&path) {
        Ok(loaded) => loaded,
        Err(errors) => {
            anstream::eprintln!("{}", errors.trim_end());
            return Ok(Exit::Config);
        }
    };
    loaded.warnings.iter().for_each(|warning| warn(warning.trim_end()));
    let config = &loaded.config;
    let records: usize = loaded.zones.iter().map(|zone| zone.records).sum();
    out::print(&format!(
        "{} is fine: {}, {}, {}, {}\n",
        path.display(),
        plural(config.zones.len(), "zone"),
        plural(records, "record"),
        plural(config.steers.len(), "steered name"),
        plural(config.origins.len(), "origin")
    ))?;
    out::print(&costs(config, Look::of_stdout()))?;
    Ok(Exit::Ok)
}

/// How long a failover takes at worst, per steered name; how often each origin is asked.
fn costs(config: &Config, look: Look) -> String {
    let mut out = String::new();
    if !config.steers.is_empty() {
        out.push_str("\nfailover budget, from the death of the primary to the last cache of the old answer\n");
        for (id, _) in (0u32..).zip(&config.steers) {
            let _ = writeln!(out, "  {}", budget::budget(config, SteerId(id)));
        }
    }
    if let Some(velocity) = &config.velocity {
        let names = plural(velocity.names_of(config.steers.len()), "name");
        let rest = match velocity.beyond {
            Beyond::Confirm { longer } => format!("longer confirmation ({})", show(longer)),
            Beyond::Person => "a person (`failoverd approve`)".to_owned(),
        };
        let _ = writeln!(
            out,
            "\nvelocity limit: of {} automation moves at most {names} in {}; the rest waits for {rest}",
            thousands(config.steers.len() as u64),
            show(velocity.per)
        );
    }
    let asked = budget::probes_per_month(config);
    if !asked.is_empty() {
        let mut probes = Table::new(&["ORIGIN", "PROBES A MONTH"]);
        for (id, count) in asked {
            let name = config.origins.get(id.0 as usize).map_or("?", |origin| origin.name.as_str());
            probes.row(vec![Text::of(name, BOLD), thousands(count).into()]);
        }
        out.push('\n');
        probes.write(&mut out, look);
    }
    out
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{} {noun}s", thousands(count as u64)) }
}

/// `1,036,800`.
fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (count, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_036_800, "1,036,800")] {
            assert_eq!(thousands(count), text);
        }
    }
}
