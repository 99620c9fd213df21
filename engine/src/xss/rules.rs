//! The rules. Ids are frozen.

use crate::detector;
use crate::finding::RuleId;

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Script,
    Handler,
    Address,
    Frame,
    Page,
    Style,
    Attribute,
    Text,
    Code,
    Disguised,
    HiddenTag,
    Clobber,
    Markup,
    Probe,
}

impl Rule {
    /// All of them, as they are listed.
    pub(super) const ALL: [Self; 14] = [
        Self::Script,
        Self::Handler,
        Self::Address,
        Self::Frame,
        Self::Page,
        Self::Style,
        Self::Attribute,
        Self::Text,
        Self::Code,
        Self::Disguised,
        Self::HiddenTag,
        Self::Clobber,
        Self::Markup,
        Self::Probe,
    ];

    pub(super) fn listed(self) -> detector::Rule {
        detector::Rule { id: self.id(), reason: self.reason() }
    }

    fn id(self) -> RuleId {
        RuleId(match self {
            Self::Script => "xss-script",
            Self::Handler => "xss-handler",
            Self::Address => "xss-address",
            Self::Frame => "xss-frame",
            Self::Page => "xss-page",
            Self::Style => "xss-style",
            Self::Attribute => "xss-attribute",
            Self::Text => "xss-text",
            Self::Code => "xss-code",
            Self::Disguised => "xss-disguised",
            Self::HiddenTag => "xss-hidden-tag",
            Self::Clobber => "xss-clobber",
            Self::Markup => "xss-markup",
            Self::Probe => "xss-probe",
        })
    }

    /// What it saw, in a sentence.
    fn reason(self) -> &'static str {
        match self {
            Self::Script => "the value opens a script element",
            Self::Handler => "the value opens an element with an event handler",
            Self::Address => "the value has an address that runs a script when it is followed",
            Self::Frame => "the value loads a document or a program into the page",
            Self::Page => "the value changes where the page goes or what it loads",
            Self::Style => "the value has a style that runs a script",
            Self::Attribute => "the value ends an attribute and adds one that runs a script",
            Self::Text => "the value ends a text of a script and goes on with code",
            Self::Code => "the value is script code that takes over the page",
            Self::Disguised => "the value is script code written without letters",
            Self::HiddenTag => "the value is a tag whose letters are encoded or set apart to pass a filter",
            Self::Clobber => "the value opens an element whose name hides a property of the page",
            Self::Markup => "the value leaves an element of the page, or opens one that takes the page over",
            Self::Probe => "the value tries how marks of HTML are treated, and is nothing else",
        }
    }
}
