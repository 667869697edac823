//! `window` and `degraded`: thresholds over a number of observations.
//!
//! ```text
//! window      6 of 10
//! degraded    p90 time > 800ms over 20        until < 500ms
//!             errors > 10% over 50            until < 2%
//! ```
//!
//! A quantile is a count: the p90 of 20 times is above 800 ms when more than 2 of them are. So each of these is a number
//! of bad observations among the last ones, and a watch needs one bit for each.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::duration;
use super::expect::ExpressionError;

/// Most observations a window looks back on.
pub const WINDOW_MAX: u32 = 100;

/// `window = "6 of 10"`: so many failed of so many is down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// 1 to `of`.
    pub failed: u32,
    /// 2 to [`WINDOW_MAX`].
    pub of: u32,
}

/// One line of `degraded`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// As it stands in the file.
    pub text: Arc<str>,
    /// Observations it looks back on.
    pub over: u32,
    /// It holds from more bad ones than this.
    pub limit: Limit,
    /// It ends with no more bad ones than this; without, after `over` observations at which `limit` was kept.
    pub until: Option<Limit>,
}

/// Which observations are bad, and how many are allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    pub bad: Bad,
    pub most: u32,
}

/// What makes an observation bad.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bad {
    /// It failed.
    Failed,
    /// It passed, and took longer.
    Longer(Duration),
    /// It passed, and took as long or longer.
    AsLong(Duration),
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.failed, self.of)
    }
}

impl Window {
    /// Reads `6 of 10`.
    ///
    /// # Errors
    /// What is wrong, where, and what would be right.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let words = words(text);
        let [failed, of, over] = words[..] else {
            return whole(text).wrong("a window says how many of how many", "write it like `6 of 10`");
        };
        if of.text != "of" {
            return of.wrong(format!("`{}` where `of` is expected", of.text), "write it like `6 of 10`");
        }
        let (many, of) = (number(failed)?, observations(over)?);
        match many {
            0 => failed.wrong("none of them would always be down", format!("at least `1 of {of}`")),
            many if many > of => failed.wrong(format!("{many} of {of} cannot be"), format!("at most `{of} of {of}`")),
            failed => Ok(Self { failed, of }),
        }
    }
}

impl Rule {
    /// Reads a rule as people write it.
    ///
    /// # Errors
    /// What is wrong, where, and what would be right.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let words = words(text);
        let (measure, rest) = measure(text, &words)?;
        let example = measure.example();
        let [above, limit, over, count, until @ ..] = rest else {
            let end = Word { text: "", at: text.trim_end().len() };
            return end.wrong("something is missing", format!("write it like `{example}`"));
        };
        keyword(*above, ">", example)?;
        keyword(*over, "over", example)?;
        let over = observations(*count)?;
        let entered = measure.amount(*limit)?;
        let until = match until {
            [] => None,
            [until, below, left] => {
                keyword(*until, "until", example)?;
                keyword(*below, "<", example)?;
                let amount = measure.amount(*left)?;
                if amount > entered {
                    let what = format!("it would end at `{}`, which is worse than where it begins", left.text);
                    return left.wrong(what, format!("at most `{}`", limit.text));
                }
                Some(measure.until(amount, over))
            }
            [first, ..] => return first.wrong("nothing but `until` may follow", format!("like `{example}`")),
        };
        Ok(Self { text: words_as_written(&words).into(), over, limit: measure.limit(entered, over), until })
    }
}

/// What a rule measures.
#[derive(Clone, Copy)]
enum Measure {
    /// A quantile of the time, in percent.
    Time(u64),
    Errors,
}

impl Measure {
    fn example(self) -> &'static str {
        match self {
            Self::Time(_) => "p90 time > 800ms over 20 until < 500ms",
            Self::Errors => "errors > 10% over 50 until < 2%",
        }
    }

    /// Milliseconds, or percent.
    fn amount(self, word: Word<'_>) -> Result<u64, ExpressionError> {
        match self {
            Self::Time(_) => match duration::parse(word.text) {
                Ok(span) if !span.is_zero() => Ok(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
                _ => word.wrong(format!("`{}` is no duration", word.text), "write it like `800ms` or `2s`"),
            },
            Self::Errors => match word.text.strip_suffix('%').and_then(|number| number.parse().ok()) {
                Some(share @ 1..=99) => Ok(share),
                _ => word.wrong(format!("`{}` is no share", word.text), "a share is between `1%` and `99%`"),
            },
        }
    }

    /// Bad ones that may be among `over` before it is entered.
    fn limit(self, amount: u64, over: u32) -> Limit {
        match self {
            Self::Time(_) => Limit { bad: Bad::Longer(Duration::from_millis(amount)), most: self.above(over) },
            Self::Errors => Limit { bad: Bad::Failed, most: whole_number(u64::from(over) * amount / 100) },
        }
    }

    /// Bad ones that may be among `over` when it has ended.
    fn until(self, amount: u64, over: u32) -> Limit {
        match self {
            Self::Time(_) => Limit { bad: Bad::AsLong(Duration::from_millis(amount)), most: self.above(over) },
            Self::Errors => {
                let share = (u64::from(over) * amount).div_ceil(100);
                Limit { bad: Bad::Failed, most: whole_number(share.saturating_sub(1)) }
            }
        }
    }

    /// How many of `over` stand above a quantile (nearest rank).
    fn above(self, over: u32) -> u32 {
        match self {
            Self::Time(quantile) => over - whole_number((u64::from(over) * quantile).div_ceil(100)).min(over),
            Self::Errors => 0,
        }
    }
}

fn whole_number(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// What the rule measures, and the words after that.
fn measure<'w, 't>(text: &str, words: &'w [Word<'t>]) -> Result<(Measure, &'w [Word<'t>]), ExpressionError> {
    const HELP: &str = "write it like `p90 time > 800ms over 20` or `errors > 10% over 50`";
    match words {
        [first, rest @ ..] if first.text == "errors" => Ok((Measure::Errors, rest)),
        [quantile, time, rest @ ..] if time.text == "time" => {
            match quantile.text.strip_prefix('p').and_then(|number| number.parse().ok()) {
                Some(number @ 1..=99) => Ok((Measure::Time(number), rest)),
                _ => quantile.wrong(format!("`{}` is no quantile", quantile.text), "write one from `p1` to `p99`"),
            }
        }
        [first, ..] if first.text == "time" => {
            first.wrong("one slow answer is nothing: a quantile is missing", "write it like `p90 time > 800ms over 20`")
        }
        [first, ..] => first.wrong(format!("`{}` is nothing to measure", first.text), HELP),
        [] => whole(text).wrong("an empty rule", HELP),
    }
}

fn keyword(word: Word<'_>, wanted: &str, example: &str) -> Result<(), ExpressionError> {
    if word.text == wanted {
        return Ok(());
    }
    word.wrong(format!("`{}` where `{wanted}` is expected", word.text), format!("write it like `{example}`"))
}

fn observations(word: Word<'_>) -> Result<u32, ExpressionError> {
    match number(word)? {
        over @ 2..=WINDOW_MAX => Ok(over),
        _ => {
            word.wrong(format!("a window of {} observations", word.text), format!("it holds 2 to {WINDOW_MAX} of them"))
        }
    }
}

fn number(word: Word<'_>) -> Result<u32, ExpressionError> {
    word.text.parse().or_else(|_| word.wrong(format!("`{}` is no number", word.text), "digits alone"))
}

/// A word of the text, and where it begins.
#[derive(Clone, Copy)]
struct Word<'t> {
    text: &'t str,
    at: usize,
}

impl Word<'_> {
    fn range(self) -> Range<usize> {
        self.at..self.at + self.text.len()
    }

    fn wrong<T>(self, what: impl Into<String>, help: impl Into<String>) -> Result<T, ExpressionError> {
        Err(ExpressionError { at: self.range(), what: what.into(), help: Some(help.into()) })
    }
}

fn whole(text: &str) -> Word<'_> {
    Word { text, at: 0 }
}

/// The words, which spaces or a comparison set apart.
fn words(text: &str) -> Vec<Word<'_>> {
    let kind = |c: char| match c {
        _ if c.is_whitespace() => 0,
        '<' | '>' | '=' => 1,
        _ => 2,
    };
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let at = text.len() - rest.len();
        let end = rest.find(|c| kind(c) != kind(first)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if kind(first) > 0 {
            words.push(Word { text: word, at });
        }
        rest = after;
    }
    words
}

/// One space between two words, however they were written.
fn words_as_written(words: &[Word<'_>]) -> String {
    words.iter().map(|word| word.text).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn windows_say_how_many_of_how_many() {
        assert_eq!(Window::parse(" 6 of 10 "), Ok(Window { failed: 6, of: 10 }));
        assert_eq!(Window::parse("1 of 2").map(|window| window.to_string()), Ok("1 of 2".to_owned()));
        for (text, at) in [
            ("6", 0..1),
            ("6 in 10", 2..4),
            ("0 of 10", 0..1),
            ("11 of 10", 0..2),
            ("1 of 1", 5..6),
            ("1 of 101", 5..8),
        ] {
            assert_eq!(Window::parse(text).map_err(|fault| fault.at), Err(at), "{text}");
        }
    }

    #[test]
    fn rules_are_counts() {
        let limit = |bad, most| Limit { bad, most };
        let slow = |millis| Bad::Longer(MILLI * millis);
        for (text, over, entered, until) in [
            ("p90 time > 800ms over 20", 20, limit(slow(800), 2), None),
            ("p50 time>2s over 5", 5, limit(slow(2000), 2), None),
            ("p99 time > 1s over 10", 10, limit(slow(1000), 0), None),
            ("errors > 10% over 50", 50, limit(Bad::Failed, 5), None),
            ("errors > 10% over 5", 5, limit(Bad::Failed, 0), None),
            ("errors > 10% over 50 until < 2%", 50, limit(Bad::Failed, 5), Some(limit(Bad::Failed, 0))),
            ("errors > 10% over 50 until < 5%", 50, limit(Bad::Failed, 5), Some(limit(Bad::Failed, 2))),
            (
                "p90 time > 800ms over 20 until < 500ms",
                20,
                limit(slow(800), 2),
                Some(limit(Bad::AsLong(MILLI * 500), 2)),
            ),
        ] {
            let rule = Rule::parse(text).unwrap();
            assert_eq!((rule.over, rule.limit, rule.until), (over, entered, until), "{text}");
        }
        assert_eq!(Rule::parse("p50  time>2s over 5").unwrap().text.as_ref(), "p50 time > 2s over 5");
    }

    #[test]
    fn what_is_wrong_is_marked() {
        for (text, marked) in [
            ("", ""),
            ("latency > 1s over 20", "latency"),
            ("time > 1s over 20", "time"),
            ("p0 time > 1s over 20", "p0"),
            ("p100 time > 1s over 20", "p100"),
            ("p90 time > 1 over 20", "1"),
            ("p90 time < 1s over 20", "<"),
            ("p90 time > 1s", ""),
            ("p90 time > 1s over 1000", "1000"),
            ("p90 time > 1s over many", "many"),
            ("errors > 10 over 50", "10"),
            ("errors > 100% over 50", "100%"),
            ("errors > 10% of 50", "of"),
            ("errors > 10% over 50 then", "then"),
            ("errors > 10% over 50 until > 2%", ">"),
            ("errors > 10% over 50 until < 20%", "20%"),
        ] {
            let fault = Rule::parse(text).unwrap_err();
            assert_eq!(&text[fault.at], marked, "{text}");
        }
    }

    proptest! {
        /// A quantile above the limit is a count above the count that is allowed.
        #[test]
        fn the_count_is_the_quantile(times in prop::collection::vec(1u64..50, 2..100), quantile in 1usize..100, limit in 1u64..50) {
            let over = times.len();
            let rule = Rule::parse(&format!("p{quantile} time > {limit}ms over {over}")).unwrap();
            let mut sorted = times.clone();
            sorted.sort_unstable();
            let rank = (over * quantile).div_ceil(100);
            let above = times.iter().filter(|&&time| time > limit).count();
            prop_assert_eq!(above > rule.limit.most as usize, sorted[rank - 1] > limit);
        }

        #[test]
        fn nothing_panics(text in "[p0-9 a-zé%<>=]{0,40}") {
            for fault in [Rule::parse(&text).err(), Window::parse(&text).err()].into_iter().flatten() {
                prop_assert!(text.get(fault.at).is_some());
            }
        }
    }
}
