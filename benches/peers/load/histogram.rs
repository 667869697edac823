//! How many waited how long, to a sixteenth of the time.

use std::fmt;

/// Bins per power of two.
const STEPS: u32 = 16;
const BINS: usize = 61 * STEPS as usize;

/// Times in nanoseconds.
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram(Vec<u64>);

impl Default for Histogram {
    fn default() -> Self {
        Self(vec![0; BINS])
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {} ns, p99 {} ns", self.quantile(0.5), self.quantile(0.99))
    }
}

impl Histogram {
    pub fn add(&mut self, time: u64) {
        self.0[bin(time)] += 1;
    }

    /// The time that a share of all stays below.
    pub fn quantile(&self, share: f64) -> u64 {
        let all: u64 = self.0.iter().sum();
        let wanted = (all as f64 * share).ceil() as u64;
        let mut so_far = 0;
        for (bin, count) in self.0.iter().enumerate() {
            so_far += count;
            if so_far >= wanted && *count > 0 {
                return end(bin);
            }
        }
        0
    }

    pub fn longest(&self) -> u64 {
        self.quantile(1.0)
    }
}

fn bin(time: u64) -> usize {
    if time < u64::from(STEPS) {
        return time as usize;
    }
    let power = time.ilog2() - STEPS.ilog2();
    (power * STEPS) as usize + (time >> power) as usize
}

/// The first time that is no longer in a bin.
fn end(bin: usize) -> u64 {
    let steps = STEPS as usize;
    if bin < steps {
        return bin as u64 + 1;
    }
    let power = bin / steps - 1;
    ((bin - power * steps) as u64 + 1) << power
}
