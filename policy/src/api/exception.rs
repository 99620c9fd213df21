//! An exception: findings that a policy knows and does not act on. What it excepts is recorded all the same.
//!
//! Narrow by construction: one rule, or one class in one parameter of some paths. [`Exception::check`] says the same as
//! the schema of the CRD, for readers that no API server protects.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::class::Class;

/// Findings that are recorded and never acted on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(
    feature = "crd",
    derive(kube::KubeSchema),
    x_kube(
        validation = ("has(self.rule) != has(self.class)", "set either rule or class"),
        validation = (
            "!has(self.class) || (has(self.path) && has(self.parameter))",
            "an exception for a class needs path and parameter: without them set the mode of the class"
        )
    )
)]
pub struct Exception {
    /// Name of the exception in events and metrics, unique in its policy, for example `editor-body`.
    #[cfg_attr(
        feature = "crd",
        schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))
    )]
    pub name: String,
    /// The rule whose findings are excepted, by its id, for example `xss-handler`. `rasp-proxy rules` lists all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "crd",
        schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"))
    )]
    pub rule: Option<String>,
    /// The attack class whose findings are excepted, with a path and a parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// Path of the requests it is for, decoded and without a query; with `*` at its end every path that begins so. A
    /// request whose path can be read in two ways is not excepted. Absent: every path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "crd", schemars(length(min = 1, max = 1024), regex(pattern = r"^/[^*?#]*\*?$")))]
    pub path: Option<String>,
    /// Part of the message the value is in, as `location.part` of events says it, for example `query`, `form` or
    /// `json`. Absent: every part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "crd", schemars(length(min = 1, max = 32), regex(pattern = r"^[a-z_]+$")))]
    pub part: Option<String>,
    /// Name of the parameter, field or JSON member the value is in, as `location.name` of events says it; with `*` at its
    /// end every name that begins so. Absent: every name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "crd", schemars(length(min = 1, max = 64), regex(pattern = r"^[^*]*\*?$")))]
    pub parameter: Option<String>,
    /// Why these findings are no attacks, for whoever reads the policy in a year.
    #[cfg_attr(feature = "crd", schemars(length(min = 1, max = 512), regex(pattern = r"\S")))]
    pub reason: String,
    /// When it ends, in UTC, for example `2027-01-31T00:00:00Z`. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "crd",
        schemars(
            length(max = 20),
            regex(pattern = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z$"),
            extend("format" = "date-time")
        )
    )]
    pub expires_at: Option<String>,
}

impl Exception {
    /// What is wrong with it: the field, its value, and what to do.
    pub fn check(&self) -> Result<(), String> {
        let Self { name, rule, class, path, part, parameter, reason, expires_at } = self;
        let wrong = |field: &str, text: &str| Err(format!("{field} {text}"));
        let is_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=63).contains(&name.len())
            || !name.bytes().all(is_label)
            || name.starts_with('-')
            || name.ends_with('-')
        {
            return wrong("name", "is not one: use at most 63 of a-z, 0-9 and - between them");
        }
        match (rule, class) {
            (None, None) => return wrong("rule", "and class are missing: set one of them"),
            (Some(_), Some(_)) => return wrong("class", "is set beside rule: set one of them"),
            (None, Some(_)) if path.is_none() => {
                return wrong("path", "is missing: an exception for a class needs path and parameter");
            }
            (None, Some(_)) if parameter.is_none() => {
                return wrong("parameter", "is missing: an exception for a class needs path and parameter");
            }
            _ => {}
        }
        if rule.as_ref().is_some_and(|rule| !is_rule(rule)) {
            return wrong("rule", "is not the id of a rule: `rasp-proxy rules` lists all");
        }
        if path.as_ref().is_some_and(|path| !is_path(path)) {
            return wrong(
                "path",
                "is not one: begin with /, end with * for every path that begins so, no ? or #",
            );
        }
        if part.as_ref().is_some_and(|part| !is_part(part)) {
            return wrong("part", "is not one: use location.part of an event, for example query");
        }
        if parameter
            .as_ref()
            .is_some_and(|name| !is_pattern(name) || !(1..=64).contains(&name.chars().count()))
        {
            return wrong("parameter", "is not a name: use 1 to 64 characters, * only at the end");
        }
        if reason.trim().is_empty() || reason.chars().count() > 512 {
            return wrong(
                "reason",
                "is empty or too long: say in at most 512 characters why this is no attack",
            );
        }
        if expires_at.as_ref().is_some_and(|time| !is_time(time)) {
            return wrong("expiresAt", "is not a time in UTC: write for example 2027-01-31T00:00:00Z");
        }
        Ok(())
    }
}

/// Whether a text is what a pattern stands for: it is the same, or begins with what stands before `*`.
pub fn matches(pattern: &str, text: &[u8]) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start.as_bytes()),
        None => text == pattern.as_bytes(),
    }
}

fn is_pattern(text: &str) -> bool {
    !text.strip_suffix('*').unwrap_or(text).contains('*')
}

fn is_rule(rule: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    rule.len() <= 63
        && rule.bytes().all(known)
        && rule.starts_with(|first: char| first.is_ascii_alphanumeric())
}

fn is_path(path: &str) -> bool {
    path.starts_with('/') && path.chars().count() <= 1024 && is_pattern(path) && !path.contains(['?', '#'])
}

fn is_part(part: &str) -> bool {
    (1..=32).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// One form of RFC 3339, so that times compare as texts.
fn is_time(time: &str) -> bool {
    const FORM: &[u8] = b"0000-00-00T00:00:00Z";
    let fits = |(byte, form): (u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == *form };
    let number = |at: std::ops::Range<usize>| time.get(at).and_then(|digits| digits.parse::<u8>().ok());
    let within = |at, range: std::ops::RangeInclusive<u8>| number(at).is_some_and(|n| range.contains(&n));
    time.len() == FORM.len()
        && time.bytes().zip(FORM).all(fits)
        && within(5..7, 1..=12)
        && within(8..10, 1..=31)
        && within(11..13, 0..=23)
        && within(14..16, 0..=59)
        && within(17..19, 0..=59)
}

/// As a policy names it.
impl Serialize for Class {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.key())
    }
}

impl<'de> Deserialize<'de> for Class {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let key = String::deserialize(deserializer)?;
        Self::from_key(&key).ok_or_else(|| {
            serde::de::Error::custom(format_args!(
                "unknown class `{key}`: use a key of spec.detections, for example sqlInjection"
            ))
        })
    }
}

#[cfg(feature = "crd")]
impl schemars::JsonSchema for Class {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Class".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let keys: Vec<&str> = Self::detected().map(Self::key).collect();
        schemars::json_schema!({ "type": "string", "enum": keys })
    }
}

#[cfg(test)]
mod tests {
    use super::{Exception, is_time, matches};

    #[test]
    fn what_is_wrong_with_an_exception_is_told_by_its_field() {
        let table = [
            ("{name: a, rule: xss-handler, reason: r}", ""),
            ("{name: a, class: sqlInjection, path: /a, parameter: q, reason: r}", ""),
            (
                "{name: a, class: sqlInjection, path: '/*', part: json, parameter: 'a.*', reason: r, expiresAt: '2027-01-31T00:00:00Z'}",
                "",
            ),
            ("{name: a, reason: r}", "rule and class are missing"),
            (
                "{name: a, rule: a, class: sqlInjection, path: /a, parameter: q, reason: r}",
                "class is set beside rule",
            ),
            ("{name: a, class: sqlInjection, parameter: q, reason: r}", "path is missing"),
            ("{name: a, class: sqlInjection, path: /a, reason: r}", "parameter is missing"),
            ("{name: A b, rule: a, reason: r}", "name is not one"),
            ("{name: -a, rule: a, reason: r}", "name is not one"),
            ("{name: a, rule: 'a b', reason: r}", "rule is not the id"),
            ("{name: a, rule: a, path: a, reason: r}", "path is not one"),
            ("{name: a, rule: a, path: '/a*b', reason: r}", "path is not one"),
            ("{name: a, rule: a, path: '/a?b', reason: r}", "path is not one"),
            ("{name: a, rule: a, part: Query, reason: r}", "part is not one"),
            ("{name: a, rule: a, parameter: '*a', reason: r}", "parameter is not a name"),
            ("{name: a, rule: a, parameter: '', reason: r}", "parameter is not a name"),
            ("{name: a, rule: a, reason: ' '}", "reason is empty"),
            ("{name: a, rule: a, reason: r, expiresAt: '2027-01-31'}", "expiresAt is not a time"),
        ];
        for (yaml, expected) in table {
            let exception: Exception = serde_yaml::from_str(yaml).unwrap();
            let said = exception.check().err().unwrap_or_default();
            assert!(said.starts_with(expected) && expected.is_empty() == said.is_empty(), "{yaml}: {said}");
        }
        for missing in ["{name: a, rule: a}", "{rule: a, reason: r}", "{name: a, class: sqli, reason: r}"] {
            assert!(serde_yaml::from_str::<Exception>(missing).is_err(), "{missing}");
        }
    }

    #[test]
    fn a_time_has_one_form_and_exists() {
        for time in ["2027-01-31T00:00:00Z", "2027-12-01T23:59:59Z"] {
            assert!(is_time(time), "{time}");
        }
        for time in
            ["2027-13-01T00:00:00Z", "2027-01-00T00:00:00Z", "2027-01-01T24:00:00Z", "2027-01-01T00:00:00+01"]
        {
            assert!(!is_time(time), "{time}");
        }
    }

    #[test]
    fn a_pattern_is_exact_or_a_beginning() {
        let table = [
            ("/a", "/a", true),
            ("/a", "/ab", false),
            ("/a*", "/ab", true),
            ("*", "", true),
            ("/a/*", "/a", false),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(matches(pattern, text.as_bytes()), expected, "{pattern} {text}");
        }
    }
}
