//! The parts of known corpora that have a minimum. A corpus that is not named here is scored whole, without one.

use crate::corpus::{Label, Record};

/// What is asked of a part.
#[derive(Clone, Copy, Debug)]
pub enum Minimum {
    /// At least so many percent of its attacks are refused.
    Refused(f64),
    /// At most so many percent of its ordinary requests are refused.
    FalsePositives(f64),
}

/// A part of a corpus.
#[derive(Debug)]
pub struct Part {
    /// Name of the corpus.
    pub corpus: &'static str,
    /// The part, in words.
    pub name: &'static str,
    /// What is asked of it.
    pub minimum: Minimum,
    /// Which of the requests with the right label belong to it.
    pub holds: fn(&Record) -> bool,
}

impl Part {
    /// Whether a request belongs to it.
    pub fn contains(&self, record: &Record) -> bool {
        let label = match self.minimum {
            Minimum::Refused(_) => Label::Attack,
            Minimum::FalsePositives(_) => Label::Benign,
        };
        record.label == label && (self.holds)(record)
    }
}

fn is_sound(record: &Record) -> bool {
    record.notes.get("weak").is_none_or(|weak| weak == false || weak.is_null())
}

fn note_is(record: &Record, name: &str, value: &str) -> bool {
    record.notes.get(name).is_some_and(|note| note == value)
}

fn is_decoded_more(record: &Record) -> bool {
    record.notes.get("extra_decoding").is_some_and(|note| note == true)
}

fn is_of(record: &Record, categories: &[&str]) -> bool {
    categories.contains(&record.category.as_str())
}

/// Prose about attacks, and searches for them, are told from attacks by nobody.
fn is_ordinary(record: &Record) -> bool {
    !record.category.ends_with("/security-prose") && !record.category.ends_with("/search-borderline")
}

const NATURAL: &[&str] = &["text-en", "text-other", "tech-prose"];
const DOCUMENTS: &[&str] = &["webhook", "webhooks", "graphql", "xml", "promql"];
const SOURCES: &[&str] = &["code", "markdown"];

/// All of them.
pub const PARTS: &[Part] = &[
    Part {
        corpus: "gotestwaf",
        name: "without bare base64",
        minimum: Minimum::Refused(95.0),
        holds: |record| is_sound(record) && !note_is(record, "encoder", "Base64Flat"),
    },
    Part {
        corpus: "gotestwaf",
        name: "ordinary texts",
        minimum: Minimum::FalsePositives(0.1),
        holds: |_| true,
    },
    Part {
        corpus: "crs_regression",
        name: "paranoia 1",
        minimum: Minimum::Refused(90.0),
        holds: |record| is_sound(record) && record.notes.get("pl").is_some_and(|level| level == 1),
    },
    Part { corpus: "patt", name: "sound", minimum: Minimum::Refused(92.0), holds: is_sound },
    Part { corpus: "nuclei_cve_to2021", name: "sound", minimum: Minimum::Refused(95.0), holds: is_sound },
    Part { corpus: "libinjection", name: "sound", minimum: Minimum::Refused(99.0), holds: is_sound },
    Part { corpus: "httpparams_train", name: "sound", minimum: Minimum::Refused(99.0), holds: is_sound },
    Part {
        corpus: "httpparams_train",
        name: "ordinary",
        minimum: Minimum::FalsePositives(0.1),
        holds: |_| true,
    },
    Part {
        corpus: "attack_tools_dev",
        name: "decoded once",
        minimum: Minimum::Refused(97.0),
        holds: |record| is_sound(record) && !is_decoded_more(record),
    },
    Part {
        corpus: "attack_tools_dev",
        name: "decoded more than once",
        minimum: Minimum::Refused(80.0),
        holds: is_decoded_more,
    },
    Part {
        corpus: "blazehttp_benign_dev",
        name: "all",
        minimum: Minimum::FalsePositives(0.1),
        holds: |_| true,
    },
    Part { corpus: "benign_har_dev", name: "all", minimum: Minimum::FalsePositives(0.1), holds: |_| true },
    Part { corpus: "benign_synthetic", name: "all", minimum: Minimum::FalsePositives(0.0), holds: |_| true },
    Part {
        corpus: "benign_apps_dev",
        name: "without prose and searches about attacks",
        minimum: Minimum::FalsePositives(0.5),
        holds: is_ordinary,
    },
    Part {
        corpus: "benign_content_dev",
        name: "natural language",
        minimum: Minimum::FalsePositives(0.1),
        holds: |record| is_of(record, NATURAL),
    },
    Part {
        corpus: "benign_content_dev",
        name: "webhooks, GraphQL, XML, PromQL",
        minimum: Minimum::FalsePositives(0.5),
        holds: |record| is_of(record, DOCUMENTS),
    },
    Part {
        corpus: "benign_content_dev",
        name: "code and markdown",
        minimum: Minimum::FalsePositives(3.0),
        holds: |record| is_of(record, SOURCES),
    },
];
