//! Is this an attack: one message in, findings and a verdict out.
//!
//! In reading order: [`message`] (the borrowed view of a request), [`ruleset`] (the compiled policy and the one
//! pipeline: decode, prefilter, detect), `decode`, `budget`, `detector` (the table of detectors), `prefilter` (which of
//! them must look at a value; with `lookup`), `sqli`, `path`, `inclusion`, `ssrf`, `xml`, `command`, `code`, `template`, `expression`, `nosql`, `ldap`, `xpath`,
//! `deserialization`, `prototype`, `scanner`, `web_shell`, `graphql` (detectors; `marks` finds words for them, `surroundings` tells what stands around
//! what they find; `value` tells what kind of value it is, `entity` what `&lt;` is), [`finding`] (evidence), `mask` (what of a value may be shown),
//! `exploit` (signatures of known exploits, which read a request as a whole), `exception` (findings that the policy excepts), [`reason`] (why something was not inspected), [`decide`] (the pure judgement and the proof token).
//!
//! # Adding a detector
//!
//! 1. `engine/src/<class>.rs` and `engine/src/<class>/`: the grammar, a table of rules, tests, and
//!    `pub(crate) static DETECTOR: Detector = Detector { class, needs, inspect, rules }`. `sqli` is the model.
//!    `needs` is what a value must have before `inspect` is called; `inspect(field, report)` gets the decoded value
//!    with its part and name, draws on `report.budget()`, and calls `report.find(field, evidence)`.
//! 2. `mod <class>;` below, and a line in `DETECTORS` in `detector.rs`.
//! 3. `detected: true` for the class in `policy/src/class.rs`, then `make generate` for the CRD.
//! 4. A section with "Class `<id>`" and the table of rules in `docs/rules.md`; the class in the tables of
//!    `docs/policy.md`, `docs/metrics.md` and `docs/events.md`. Tests compare them.
//!
//! Architecture invariant: no IO, no clock, no environment, no log, no async. No input panics, work is bounded per
//! byte, and nothing that leaves this crate holds payload bytes.
//!
//! ```
//! use rasp_engine::{Body, Effective, Head, Outcome, Ruleset};
//!
//! let ruleset = Ruleset::build(&Effective::builtin_blocking())?;
//! let target = b"/items?id=1%27%20OR%20%271%27=%271";
//! let head = Head { method: "GET", target, content_type: None, content_encoding: None, fields: &() };
//! let mut inspection = ruleset.inspect_head(&head);
//! ruleset.inspect_body(&head, Body::Empty, &mut inspection);
//! let judgement = ruleset.decide(inspection);
//! assert!(matches!(judgement.outcome, Outcome::Refuse(refusal) if refusal.status == 403));
//! assert_eq!(judgement.findings[0].rule.0, "sqli-tautology");
//! # Ok::<(), rasp_engine::BuildError>(())
//! ```

#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing)]

mod ascii;
mod budget;
mod code;
mod command;
pub mod decide;
mod decode;
mod deserialization;
mod detector;
mod entity;
mod exception;
mod exploit;
mod expression;
pub mod finding;
mod graphql;
mod header;
mod include;
mod inclusion;
mod ldap;
mod lookup;
mod mail;
mod marks;
mod mask;
pub mod message;
mod nosql;
mod path;
mod prefilter;
mod prototype;
pub mod reason;
mod redirect;
pub mod ruleset;
mod scanner;
mod sqli;
mod ssrf;
mod surroundings;
mod template;
mod value;
mod web_shell;
mod xml;
mod xpath;
mod xss;

pub use budget::Limits;
pub use decide::{Judgement, Outcome, Pass, Refusal, Verdict, Why};
pub use detector::{Rule, rules};
pub use exception::Excepted;
pub use finding::{Class, Confidence, Encodings, Finding, Location, Part, RuleId};
pub use message::{Body, BodyPlan, Fields, Head, Show};
pub use rasp_policy::class::Classes;
pub use rasp_policy::precedence::Effective;
pub use reason::Reason;
pub use ruleset::{BuildError, Coverage, Inspection, Ruleset, Run};
