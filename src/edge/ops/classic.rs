//! The text format of before OpenMetrics: a counter's family carries its `_total`, there are no units and no end mark.

use std::collections::BTreeSet;

/// The same metrics in text format 0.0.4.
#[must_use]
pub fn from_openmetrics(text: &str) -> String {
    let family = |line: &'_ str| line.split(' ').nth(2).map(str::to_owned);
    let counters: BTreeSet<String> = text
        .lines()
        .filter(|line| line.starts_with("# TYPE ") && line.ends_with(" counter"))
        .filter_map(family)
        .collect();
    let mut classic = String::with_capacity(text.len());
    for line in text.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        match family(line).filter(|name| line.starts_with("# ") && counters.contains(name)) {
            Some(name) => classic.push_str(&line.replacen(&name, &format!("{name}_total"), 1)),
            None => classic.push_str(line),
        }
        classic.push('\n');
    }
    classic
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_carry_their_suffix_and_nothing_else_changes() {
        let open = "# HELP f_turns Turns.\n# TYPE f_turns counter\nf_turns_total{to=\"a b\"} 3\n\
                    # HELP f_age_seconds Age.\n# TYPE f_age_seconds gauge\n# UNIT f_age_seconds seconds\nf_age_seconds 1.5\n# EOF\n";
        let classic = "# HELP f_turns_total Turns.\n# TYPE f_turns_total counter\nf_turns_total{to=\"a b\"} 3\n\
                       # HELP f_age_seconds Age.\n# TYPE f_age_seconds gauge\nf_age_seconds 1.5\n";
        assert_eq!(from_openmetrics(open), classic);
    }
}
