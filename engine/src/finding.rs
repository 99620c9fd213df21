//! Evidence of a detector. Never the payload: names are reduced to safe characters, samples keep only shape and the
//! words of the detector's language, so a finding may be logged, counted and reported as it is.

pub use rasp_policy::api::Confidence;
pub use rasp_policy::class::Class;

/// Stable name of a rule, for example `sqli-tautology`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub &'static str);

impl std::fmt::Display for RuleId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.0)
    }
}

/// Part of a message that a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// A segment of the path, or several.
    Path,
    /// The value of a query parameter.
    Query,
    /// The name of a query parameter.
    QueryName,
    /// The value of a form field.
    Form,
    /// The name of a form field.
    FormName,
    /// A string of a JSON document.
    Json,
    /// The key of a JSON member.
    JsonKey,
    /// A text body as a whole.
    Text,
    /// A field of the head, or a part of one that applications read for itself: a parameter of `Referer`, a password.
    Header,
    /// The value of a cookie, or its name.
    Cookie,
}

impl Part {
    /// Event field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::QueryName => "query_name",
            Self::Form => "form",
            Self::FormName => "form_name",
            Self::Json => "json",
            Self::JsonKey => "json_key",
            Self::Text => "text",
            Self::Header => "header",
            Self::Cookie => "cookie",
        }
    }
}

/// Where in a message a value was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Part of the message.
    pub part: Part,
    /// Name of the parameter or path of the JSON member, safe to log; empty where the value is itself a name.
    pub name: String,
    /// First byte of the evidence in the decoded value.
    pub offset: usize,
    /// Bytes of the evidence.
    pub length: usize,
}

/// One detector's evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Attack class.
    pub class: Class,
    /// Rule that saw it.
    pub rule: RuleId,
    /// What the rule saw, in a sentence.
    pub reason: &'static str,
    /// Where.
    pub location: Location,
    /// How sure the rule is.
    pub confidence: Confidence,
    /// The shape of the evidence: words of the language and punctuation stay, other letters become `a`, digits `9`.
    pub sample: String,
}
