//! Is this an attack: one message in, findings and a verdict out.
//!
//! In reading order: [`message`] (the borrowed view of a request), [`ruleset`] (the compiled policy and the one
//! pipeline: decode, prefilter, detect), `decode`, `budget`, `sqli` (the detector), [`finding`] (evidence),
//! [`reason`] (why something was not inspected), [`decide`] (the pure judgement and the proof token).
//!
//! Architecture invariant: no IO, no clock, no environment, no log, no async. No input panics, work is bounded per
//! byte, and nothing that leaves this crate holds payload bytes.
//!
//! ```
//! use rasp_engine::{Body, Effective, Head, Outcome, Ruleset};
//!
//! let ruleset = Ruleset::build(&Effective::builtin_blocking())?;
//! let target = b"/items?id=1%27%20OR%20%271%27=%271";
//! let head = Head { method: "GET", target, content_type: None, content_encoding: None };
//! let mut inspection = ruleset.inspect_head(&head);
//! ruleset.inspect_body(&head, Body::Empty, &mut inspection);
//! let judgement = ruleset.decide(inspection);
//! assert!(matches!(judgement.outcome, Outcome::Refuse(refusal) if refusal.status == 403));
//! assert_eq!(judgement.findings[0].rule.0, "sqli-tautology");
//! # Ok::<(), rasp_engine::BuildError>(())
//! ```

#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing)]

mod budget;
pub mod decide;
mod decode;
pub mod finding;
pub mod message;
pub mod reason;
pub mod ruleset;
mod sqli;

pub use budget::Limits;
pub use decide::{Judgement, Outcome, Pass, Refusal, Verdict, Why};
pub use finding::{Class, Confidence, Finding, Location, Part, RuleId};
pub use message::{Body, BodyPlan, Head};
pub use rasp_policy::precedence::Effective;
pub use reason::Reason;
pub use ruleset::{BuildError, Coverage, Inspection, Ruleset};
pub use sqli::rules;
