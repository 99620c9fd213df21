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
    /// The name of a file in a multipart body. `name` is that of the field.
    FileName,
    /// A file in a multipart body. `name` is that of the file. Only detectors that read files get it.
    File,
    /// The text of an element of an XML document, or an attribute.
    Xml,
    /// The same of an Atom or RSS document, whose texts are HTML by its format.
    Feed,
    /// A document of XML or GraphQL as a whole. Only detectors that read documents get it.
    Document,
    /// A string literal of a GraphQL document.
    GraphQl,
    /// A text in a message of Protocol Buffers. `name` is its number.
    Protobuf,
}

impl Part {
    /// Every part.
    pub const ALL: &[Self] = &[
        Self::Path,
        Self::Query,
        Self::QueryName,
        Self::Form,
        Self::FormName,
        Self::Json,
        Self::JsonKey,
        Self::Text,
        Self::Header,
        Self::Cookie,
        Self::FileName,
        Self::File,
        Self::Xml,
        Self::Feed,
        Self::Document,
        Self::GraphQl,
        Self::Protobuf,
    ];

    /// Whether it is the name of a file, or holds one value that an application asked for.
    pub(crate) fn is_parameter_or_file(self) -> bool {
        self == Self::FileName || self.is_parameter()
    }

    /// Whether it holds one value that an application asked for, and not a document or a piece of one.
    pub(crate) fn is_parameter(self) -> bool {
        matches!(
            self,
            Self::Path
                | Self::Query
                | Self::QueryName
                | Self::Form
                | Self::FormName
                | Self::Header
                | Self::Cookie
        )
    }

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
            Self::FileName => "file_name",
            Self::File => "file",
            Self::Xml => "xml",
            Self::Feed => "feed",
            Self::Document => "document",
            Self::GraphQl => "graphql",
            Self::Protobuf => "protobuf",
        }
    }
}

/// How a value was encoded, beyond what its part of the message asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Encodings(u16);

impl Encodings {
    /// `%27` and `%u0027`, once more.
    pub(crate) const PERCENT: Self = Self(1);
    /// `&#39;`
    pub(crate) const HTML: Self = Self(1 << 1);
    /// `\u0027`, `\x27`, `\047`
    pub(crate) const BACKSLASH: Self = Self(1 << 2);
    /// Characters that are folded into ASCII, and ASCII in more bytes than it takes.
    pub(crate) const UNICODE: Self = Self(1 << 3);
    pub(crate) const UTF7: Self = Self(1 << 4);
    /// NULs between letters.
    pub(crate) const NUL: Self = Self(1 << 5);
    /// `+` for a blank where no form is.
    pub(crate) const PLUS: Self = Self(1 << 6);
    pub(crate) const BASE64: Self = Self(1 << 7);
    pub(crate) const HEX: Self = Self(1 << 8);
    /// A JSON Web Token.
    pub(crate) const TOKEN: Self = Self(1 << 9);
    /// gzip, zlib or zstd, in base64.
    pub(crate) const COMPRESSED: Self = Self(1 << 10);

    const NAMES: [(Self, &'static str); 11] = [
        (Self::PERCENT, "percent"),
        (Self::HTML, "html"),
        (Self::BACKSLASH, "backslash"),
        (Self::UNICODE, "unicode"),
        (Self::UTF7, "utf7"),
        (Self::NUL, "nul"),
        (Self::PLUS, "plus"),
        (Self::BASE64, "base64"),
        (Self::HEX, "hex"),
        (Self::TOKEN, "jwt"),
        (Self::COMPRESSED, "compressed"),
    ];

    /// Event field: every name there is.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().map(|(_, name)| *name)
    }

    /// The names of these. The order is not that in which they were undone.
    pub fn iter(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(one, _)| self.0 & one.0 != 0).map(|(_, name)| *name)
    }

    /// Whether the value was as its part of the message asks for.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl std::ops::BitOr for Encodings {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Where in a message a value was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Part of the message.
    pub part: Part,
    /// Name of the parameter or of the JSON member, safe to log. Where the value is itself a name it is empty, or the key
    /// of the member that the object is in.
    pub name: String,
    /// First byte of the evidence in the decoded value.
    pub offset: usize,
    /// Bytes of the evidence; of the whole value, where it is in an encoded one.
    pub length: usize,
    /// What else was undone to read it; empty for nearly all findings.
    pub encodings: Encodings,
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
