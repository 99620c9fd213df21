//! What became of an object, as people read it on stderr, and the exit code that follows. Called by [`crate::inject`] and
//! [`crate::uninject`].

use std::io::Write;

/// What became of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was changed.
    Changed(String),
    /// It is as it was, and that is right: a named reason, and what it means.
    Skipped(String, String),
    /// It is as it was, and that is not what was asked for.
    Refused(String, String),
}

impl Outcome {
    /// Whether the command fails because of it.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Refused(..))
    }
}

/// One line for each object, and one for each warning.
pub fn tell(to: &mut dyn Write, label: &str, outcome: &Outcome, warnings: &[String]) -> std::io::Result<()> {
    match outcome {
        Outcome::Changed(what) => writeln!(to, "{label}: {what}")?,
        Outcome::Skipped(reason, text) => writeln!(to, "{label}: skipped, {reason}: {text}")?,
        Outcome::Refused(reason, text) => writeln!(to, "{label}: REFUSED, {reason}: {text}")?,
    }
    warnings.iter().try_for_each(|warning| writeln!(to, "{label}: warning: {warning}"))
}
