//! Tells a source that is slow from one that goes back.
//!
//! The mounted file may follow the stream by a minute and pass through Bundles that the stream has long replaced; a
//! replica of the operator may lag behind as well. Neither is an attack. Going back to a sequence that the *same* source
//! had reached before is, whatever the other one brought.

use rasp_policy::bundle::Refusal;

use crate::policy::Source;

/// The highest sequence that each source brought.
#[derive(Debug, Default)]
pub struct Marks([Option<u64>; Source::ALL.len()]);

impl Marks {
    /// A source brought a Bundle that is ours.
    pub fn saw(&mut self, source: Source, sequence: u64) {
        for (known, mark) in Source::ALL.iter().zip(&mut self.0) {
            if *known == source {
                *mark = (*mark).max(Some(sequence));
            }
        }
    }

    /// Whether a refused Bundle is one that the source passes on its way to `last`, which another source brought.
    pub fn is_behind(&mut self, source: Source, refusal: &Refusal, last: u64) -> bool {
        let Refusal::Older { found, .. } = *refusal else { return false };
        let mark =
            Source::ALL.iter().zip(&self.0).find(|(known, _)| **known == source).and_then(|(_, mark)| *mark);
        let forward = mark.is_none_or(|mark| found > mark);
        self.saw(source, found);
        forward && found < last
    }
}
