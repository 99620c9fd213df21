//! Counts what was judged right and wrong. Pure.

use serde::Serialize;

use crate::corpus::{Label, Record};
use crate::engine::Judged;
use crate::gateway::Answer;

/// A judged corpus.
#[derive(Debug)]
pub struct Corpus {
    /// Name of its file.
    pub name: String,
    /// Its requests.
    pub judged: Vec<Request>,
}

/// A judged request.
#[derive(Debug)]
pub struct Request {
    /// As it is in the corpus.
    pub record: Record,
    /// By the engine; `None` for bytes that are no request.
    pub engine: Option<Judged>,
    /// By a gateway, where there was one.
    pub gateway: Option<Answer>,
}

impl Corpus {
    /// Puts together what was judged one by one.
    pub fn of(
        name: String,
        records: Vec<Record>,
        judged: Vec<Option<Judged>>,
        answers: Option<Vec<Answer>>,
    ) -> Self {
        let mut answers = answers.map(Vec::into_iter);
        let judged = records
            .into_iter()
            .zip(judged)
            .map(|(record, engine)| {
                let gateway = answers.as_mut().and_then(Iterator::next);
                Request { record, engine, gateway }
            })
            .collect();
        Self { name, judged }
    }
}

/// Who judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// The engine, in this process.
    Engine,
    /// A gateway. What it rejects as bad HTTP never reaches the application and counts as refused.
    Gateway,
}

impl Request {
    /// `None` where this judge saw nothing of it.
    pub fn is_refused(&self, judge: Judge) -> Option<bool> {
        match judge {
            Judge::Engine => self.engine.as_ref().map(|judged| judged.refused),
            Judge::Gateway => match self.gateway? {
                Answer::Blocked | Answer::Rejected => Some(true),
                Answer::Passed => Some(false),
                Answer::TimedOut => None,
            },
        }
    }
}

/// How many requests of each kind were refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Attacks.
    pub attacks: usize,
    /// Of those, refused.
    pub true_positives: usize,
    /// Ordinary requests.
    pub benign: usize,
    /// Of those, refused.
    pub false_positives: usize,
}

impl Tally {
    /// Counts some requests.
    pub fn of<'a>(requests: impl Iterator<Item = &'a Request>, judge: Judge) -> Self {
        let mut tally = Self::default();
        for request in requests {
            let Some(refused) = request.is_refused(judge) else { continue };
            let (all, stopped) = match request.record.label {
                Label::Attack => (&mut tally.attacks, &mut tally.true_positives),
                Label::Benign => (&mut tally.benign, &mut tally.false_positives),
            };
            *all += 1;
            *stopped += usize::from(refused);
        }
        tally
    }

    /// Attacks that were refused.
    pub fn recall(self) -> Rate {
        Rate { some: self.true_positives, of: self.attacks }
    }

    /// Ordinary requests that were refused.
    pub fn false_positive_rate(self) -> Rate {
        Rate { some: self.false_positives, of: self.benign }
    }

    /// Mean of the share of attacks refused and of ordinary requests let through, in percent.
    pub fn balanced_accuracy(self) -> Option<f64> {
        Some(f64::midpoint(self.recall().percent()?, 100.0 - self.false_positive_rate().percent()?))
    }
}

/// A share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So many.
    pub some: usize,
    /// Of so many.
    pub of: usize,
}

impl Rate {
    /// `None` of nothing.
    pub fn percent(self) -> Option<f64> {
        (self.of > 0).then(|| 100.0 * number(self.some) / number(self.of))
    }

    /// Wilson's score interval at 95 %, in percent (E. B. Wilson, 1927).
    pub fn interval(self) -> Option<(f64, f64)> {
        const Z: f64 = 1.96;
        let share = self.percent()? / 100.0;
        let n = number(self.of);
        let denominator = 1.0 + Z * Z / n;
        let centre = share + Z * Z / (2.0 * n);
        let spread = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
        Some((100.0 * (centre - spread).max(0.0) / denominator, 100.0 * (centre + spread) / denominator))
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests")]
pub fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_wilsons() {
        let (low, high) = Rate { some: 81, of: 263 }.interval().expect("an interval");
        assert!((low - 25.53).abs() < 0.01 && (high - 36.62).abs() < 0.01, "{low} {high}");
        let (low, high) = Rate { some: 0, of: 1000 }.interval().expect("an interval");
        assert!(low.abs() < 1e-9 && (high - 0.383).abs() < 0.001, "{low} {high}");
        assert_eq!(Rate { some: 0, of: 0 }.interval(), None);
    }

    #[test]
    fn balanced_accuracy_is_the_mean_of_both_sides() {
        let tally = Tally { attacks: 10, true_positives: 9, benign: 4, false_positives: 1 };
        assert_eq!(tally.balanced_accuracy(), Some(82.5));
        assert_eq!(Tally { benign: 0, ..tally }.balanced_accuracy(), None);
    }
}
