//! The classes of attacks: names, and numbers in the lists that people know. Policies name a class by its key, metrics
//! and events by its id. Both are frozen.
//!
//! Adding a detector: set `detected` of its class. That puts the class into the API, the CRD (`make generate`) and
//! the metrics.

/// An attack class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The value changes the structure of an SQL statement.
    SqlInjection,
    /// The value adds operators or code to the query of a document database.
    NoSqlInjection,
    /// The value makes a browser run script in a page it is put into.
    CrossSiteScripting,
    /// The value adds a command to one that a shell runs.
    OsCommandInjection,
    /// The value leaves the directory, or names a file nobody outside should read.
    PathTraversal,
    /// The value makes a program load code or data through a wrapper or from elsewhere.
    FileInclusion,
    /// The value makes the application send a request to where its sender cannot.
    ServerSideRequestForgery,
    /// The value is code of a template language.
    TemplateInjection,
    /// The value is an expression: EL, OGNL, SpEL, MVEL, or a JNDI lookup.
    ExpressionInjection,
    /// The value is code of the language that the application is written in.
    CodeInjection,
    /// The value is a serialized object that runs code where it is read.
    Deserialization,
    /// The document makes its parser read files, send requests or use up memory.
    XmlExternalEntity,
    /// The value changes the structure of an LDAP filter.
    LdapInjection,
    /// The value changes the structure of an XPath expression.
    XpathInjection,
    /// The value ends a header and begins another one, or a body.
    HeaderInjection,
    /// The name reaches the prototype of every object of the application.
    PrototypePollution,
    /// The value sends a browser to another site than it looks like.
    OpenRedirect,
    /// The value adds fields, recipients or commands to a mail.
    MailInjection,
    /// The value is a directive of a page: SSI or ESI.
    ServerSideInclude,
    /// The file or the request is one of a program that runs commands for its visitors.
    WebShell,
    /// The request says of itself that a tool looks for weaknesses.
    ScannerSignal,
    /// The request has the shape of a published exploit.
    KnownExploit,
    /// The GraphQL document asks for more than clients of the application do.
    GraphQlAbuse,
}

/// A set of classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes(u32);

impl Classes {
    /// No class.
    pub const NONE: Self = Self(0);

    /// The bits that [`Classes::bits`] gave.
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Bit [`Class::index`] for each class of the set.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Whether it has no class.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether it has this class.
    pub fn contains(self, class: Class) -> bool {
        self.0 & (1 << class.index()) != 0
    }

    /// Those of either set.
    #[must_use]
    pub fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Adds a class.
    pub fn insert(&mut self, class: Class) {
        self.0 |= 1 << class.index();
    }

    /// Its classes, in the order of [`Class::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Class> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let class = Class::ALL.get(left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(*class)
        })
    }
}

impl FromIterator<Class> for Classes {
    fn from_iter<T: IntoIterator<Item = Class>>(classes: T) -> Self {
        let mut set = Self::NONE;
        classes.into_iter().for_each(|class| set.insert(class));
        set
    }
}

/// What is known of a class.
#[derive(Debug)]
struct About {
    id: &'static str,
    key: &'static str,
    title: &'static str,
    cwe: Option<u16>,
    capec: Option<u16>,
    owasp: Option<&'static str>,
    detected: bool,
}

impl Class {
    /// Number of classes.
    pub const COUNT: usize = Self::ALL.len();

    /// Every class, also those without a detector.
    pub const ALL: [Self; 23] = [
        Self::SqlInjection,
        Self::NoSqlInjection,
        Self::CrossSiteScripting,
        Self::OsCommandInjection,
        Self::PathTraversal,
        Self::FileInclusion,
        Self::ServerSideRequestForgery,
        Self::TemplateInjection,
        Self::ExpressionInjection,
        Self::CodeInjection,
        Self::Deserialization,
        Self::XmlExternalEntity,
        Self::LdapInjection,
        Self::XpathInjection,
        Self::HeaderInjection,
        Self::PrototypePollution,
        Self::OpenRedirect,
        Self::MailInjection,
        Self::ServerSideInclude,
        Self::WebShell,
        Self::ScannerSignal,
        Self::KnownExploit,
        Self::GraphQlAbuse,
    ];

    /// Every class that has a detector.
    pub fn detected() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|class| class.about().detected)
    }

    /// Metric label and event field, for example `sql_injection`.
    pub fn as_str(self) -> &'static str {
        self.about().id
    }

    /// Name in a policy, for example `sqlInjection`.
    pub fn key(self) -> &'static str {
        self.about().key
    }

    /// The class with a detector that a policy names so.
    pub fn from_key(key: &str) -> Option<Self> {
        Self::detected().find(|class| class.key() == key)
    }

    /// Name for people.
    pub fn title(self) -> &'static str {
        self.about().title
    }

    /// Number in the Common Weakness Enumeration.
    pub fn cwe(self) -> Option<u16> {
        self.about().cwe
    }

    /// Number in the Common Attack Pattern Enumeration.
    pub fn capec(self) -> Option<u16> {
        self.about().capec
    }

    /// Category of the OWASP Top 10.
    pub fn owasp(self) -> Option<&'static str> {
        self.about().owasp
    }

    /// Position in [`Class::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    fn about(self) -> &'static About {
        match self {
            Self::SqlInjection => &About {
                id: "sql_injection",
                key: "sqlInjection",
                title: "SQL injection",
                cwe: Some(89),
                capec: Some(66),
                owasp: Some("A03:2021"),
                detected: true,
            },
            Self::NoSqlInjection => &About {
                id: "nosql_injection",
                key: "noSqlInjection",
                title: "NoSQL injection",
                cwe: Some(943),
                capec: Some(676),
                owasp: Some("A03:2021"),
                detected: true,
            },
            Self::CrossSiteScripting => &About {
                id: "cross_site_scripting",
                key: "crossSiteScripting",
                title: "Cross-site scripting",
                cwe: Some(79),
                capec: Some(63),
                owasp: Some("A03:2021"),
                detected: true,
            },
            Self::OsCommandInjection => &About {
                id: "os_command_injection",
                key: "osCommandInjection",
                title: "OS command injection",
                cwe: Some(78),
                capec: Some(88),
                owasp: Some("A03:2021"),
                detected: true,
            },
            Self::PathTraversal => &About {
                id: "path_traversal",
                key: "pathTraversal",
                title: "Path traversal",
                cwe: Some(22),
                capec: Some(126),
                owasp: Some("A01:2021"),
                detected: true,
            },
            Self::FileInclusion => &About {
                id: "file_inclusion",
                key: "fileInclusion",
                title: "File inclusion",
                cwe: Some(98),
                capec: Some(193),
                owasp: Some("A03:2021"),
                detected: true,
            },
            Self::ServerSideRequestForgery => &About {
                id: "server_side_request_forgery",
                key: "serverSideRequestForgery",
                title: "Server-side request forgery",
                cwe: Some(918),
                capec: Some(664),
                owasp: Some("A10:2021"),
                detected: true,
            },
            Self::TemplateInjection => &About {
                id: "template_injection",
                key: "templateInjection",
                title: "Template injection",
                cwe: Some(1336),
                capec: None,
                owasp: Some("A03:2021"),
                detected: true,
            },
            Self::ExpressionInjection => &About {
                id: "expression_injection",
                key: "expressionInjection",
                title: "Expression language injection",
                cwe: Some(917),
                capec: None,
                owasp: Some("A03:2021"),
                detected: true,
            },
            Self::CodeInjection => &About {
                id: "code_injection",
                key: "codeInjection",
                title: "Code injection",
                cwe: Some(94),
                capec: Some(242),
                owasp: Some("A03:2021"),
                detected: true,
            },
            Self::Deserialization => &About {
                id: "deserialization",
                key: "deserialization",
                title: "Deserialization of untrusted data",
                cwe: Some(502),
                capec: Some(586),
                owasp: Some("A08:2021"),
                detected: true,
            },
            Self::XmlExternalEntity => &About {
                id: "xml_external_entity",
                key: "xmlExternalEntity",
                title: "XML external entities and entity bombs",
                cwe: Some(611),
                capec: Some(221),
                owasp: Some("A05:2021"),
                detected: true,
            },
            Self::LdapInjection => &About {
                id: "ldap_injection",
                key: "ldapInjection",
                title: "LDAP injection",
                cwe: Some(90),
                capec: Some(136),
                owasp: Some("A03:2021"),
                detected: true,
            },
            Self::XpathInjection => &About {
                id: "xpath_injection",
                key: "xpathInjection",
                title: "XPath injection",
                cwe: Some(643),
                capec: Some(83),
                owasp: Some("A03:2021"),
                detected: true,
            },
            Self::HeaderInjection => &About {
                id: "header_injection",
                key: "headerInjection",
                title: "Header injection",
                cwe: Some(113),
                capec: Some(34),
                owasp: Some("A03:2021"),
                detected: true,
            },
            Self::PrototypePollution => &About {
                id: "prototype_pollution",
                key: "prototypePollution",
                title: "Prototype pollution",
                cwe: Some(1321),
                capec: None,
                owasp: Some("A03:2021"),
                detected: true,
            },
            Self::OpenRedirect => &About {
                id: "open_redirect",
                key: "openRedirect",
                title: "Open redirect",
                cwe: Some(601),
                capec: None,
                owasp: Some("A01:2021"),
                detected: true,
            },
            Self::MailInjection => &About {
                id: "mail_injection",
                key: "mailInjection",
                title: "Mail injection",
                cwe: Some(93),
                capec: Some(134),
                owasp: Some("A03:2021"),
                detected: true,
            },
            Self::ServerSideInclude => &About {
                id: "server_side_include",
                key: "serverSideInclude",
                title: "Server-side include injection",
                cwe: Some(97),
                capec: Some(101),
                owasp: Some("A03:2021"),
                detected: true,
            },
            Self::WebShell => &About {
                id: "web_shell",
                key: "webShell",
                title: "Web shell",
                cwe: Some(434),
                capec: Some(650),
                owasp: Some("A04:2021"),
                detected: true,
            },
            Self::ScannerSignal => &About {
                id: "scanner_signal",
                key: "scannerSignal",
                title: "Scanner or exploit tool",
                cwe: None,
                capec: Some(310),
                owasp: None,
                detected: true,
            },
            Self::KnownExploit => &About {
                id: "known_exploit",
                key: "knownExploit",
                title: "Exploit of a known vulnerability",
                cwe: Some(1395),
                capec: None,
                owasp: Some("A06:2021"),
                detected: true,
            },
            Self::GraphQlAbuse => &About {
                id: "graphql_abuse",
                key: "graphQlAbuse",
                title: "GraphQL that asks for too much",
                cwe: Some(770),
                capec: Some(147),
                owasp: None,
                detected: true,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Class, Classes};

    #[test]
    fn a_set_has_the_classes_it_was_made_of() {
        let some = [Class::NoSqlInjection, Class::KnownExploit];
        let set: Classes = some.into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), some);
        assert!(Classes::from_bits(set.bits()) == set && !set.is_empty() && Classes::NONE.is_empty());
        assert!(!set.contains(Class::SqlInjection));
    }

    #[test]
    fn every_class_has_names_of_its_own_and_stands_where_its_index_says() {
        let ids: BTreeSet<_> = Class::ALL.iter().map(|class| class.as_str()).collect();
        let keys: BTreeSet<_> = Class::ALL.iter().map(|class| class.key()).collect();
        assert_eq!((ids.len(), keys.len()), (Class::COUNT, Class::COUNT));
        for (index, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class.index(), index);
            assert_eq!(Class::from_key(class.key()).is_some(), Class::detected().any(|known| known == class));
        }
    }
}
