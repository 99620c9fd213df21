//! The file of requests: what it may hold, and what is wrong with it, by line and field. Docs: `docs/raspctl.md`.

use std::fmt;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rasp_engine::Verdict;
use rasp_policy::class::Class;
use rasp_policy::selector::Labels;
use rasp_policy::token::is_token;
use schemars::JsonSchema;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Requests, and the pod that they are for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct File {
    /// Which policies are meant, where the files hold those of several namespaces.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Labels of the namespace. They choose the policies of the cluster, by namespaceSelector.
    #[serde(default)]
    pub namespace_labels: Labels,
    /// Labels of the pod that the requests are for. They choose the policies.
    #[serde(default)]
    pub pod_labels: Labels,
    /// Workload of the pod as Kind/name, for example Deployment/web. It chooses the policies, by targetRefs.
    #[serde(default, deserialize_with = "workload")]
    #[schemars(regex(pattern = r"^[A-Z][A-Za-z]*/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub workload: Option<String>,
    /// Names of the Services that select the pod. They choose the policies, by targetRefs.
    #[serde(default)]
    pub services: Vec<String>,
    /// Name of the port at which the requests arrive, as sectionName of targetRefs says it. Absent: one that no policy names.
    #[serde(default)]
    pub port: Option<String>,
    /// The requests.
    #[schemars(length(min = 1))]
    pub requests: Vec<Request>,
}

/// A request, and what is expected of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("not" = {"required": ["body", "bodyBase64"]}))]
pub struct Request {
    /// What it is, unique in its file.
    pub name: String,
    /// Method.
    #[serde(default = "get", deserialize_with = "method")]
    #[schemars(regex(pattern = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"))]
    pub method: String,
    /// Path and query as they are sent.
    #[serde(deserialize_with = "target")]
    #[schemars(regex(pattern = r"^/"))]
    pub target: String,
    /// Names in lower case, and values; a name may come more than once.
    #[serde(default, deserialize_with = "headers")]
    #[schemars(schema_with = "super::schema::headers")]
    pub headers: Vec<(String, String)>,
    /// The body as a text.
    #[serde(default)]
    body: Option<String>,
    /// The body as base64.
    #[serde(default, deserialize_with = "base64")]
    #[schemars(with = "Option<String>")]
    body_base64: Option<Vec<u8>>,
    /// Instead of the labels of the file.
    #[serde(default)]
    pub pod_labels: Option<Labels>,
    /// Instead of the workload of the file.
    #[serde(default, deserialize_with = "workload")]
    #[schemars(regex(pattern = r"^[A-Z][A-Za-z]*/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub workload: Option<String>,
    /// Instead of the port of the file.
    #[serde(default)]
    pub port: Option<String>,
    /// Whether the request is in the share of requests that enforcement blocks, where that is neither none nor all of them.
    /// Absent: it is.
    #[serde(default)]
    pub enforced: Option<bool>,
    /// What is expected.
    pub expect: Expect,
}

/// What is expected of a request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expect {
    /// The judgement.
    #[serde(deserialize_with = "verdict")]
    #[schemars(schema_with = "super::schema::verdict")]
    pub verdict: Verdict,
    /// A rule that sees something.
    #[serde(default)]
    pub rule: Option<String>,
    /// A class that something is seen of.
    #[serde(default, deserialize_with = "class")]
    #[schemars(schema_with = "super::schema::class")]
    pub class: Option<Class>,
    /// An exception that something falls under, as events name it: policy/name, ClusterRaspPolicy/policy/name or
    /// RaspException/name.
    #[serde(default)]
    pub exception: Option<String>,
}

impl Request {
    /// The bytes of the body; empty where there is none.
    pub fn body(&self) -> &[u8] {
        let text = self.body.as_deref().map(str::as_bytes);
        text.or(self.body_base64.as_deref()).unwrap_or_default()
    }
}

/// Reads a file. What ends in `.json` is JSON, anything else YAML.
pub fn parse(name: &str, text: &str) -> anyhow::Result<File> {
    let is_json = std::path::Path::new(name).extension().is_some_and(|extension| extension == "json");
    let file: File = if is_json {
        serde_json::from_str(text).with_context(|| name.to_owned())?
    } else {
        serde_yaml::from_str(text).with_context(|| name.to_owned())?
    };
    ensure!(!file.requests.is_empty(), "{name}: there are no requests in it");
    if !file.services.is_empty() && file.pod_labels.is_empty() {
        bail!("{name}: services is set without podLabels: a Service selects pods by their labels");
    }
    let mut names = std::collections::BTreeSet::new();
    for (index, request) in file.requests.iter().enumerate() {
        let Request { name: called, body, body_base64, .. } = request;
        if body.is_some() && body_base64.is_some() {
            bail!("{name}: requests[{index}] ({called:?}) has body and bodyBase64: leave one out");
        }
        if !names.insert(called) {
            bail!("{name}: requests[{index}].name is {called:?} for the second time: use one name once");
        }
    }
    Ok(file)
}

fn get() -> String {
    "GET".to_owned()
}

/// A text that has to mean something. The error is made while the parser knows where it is.
struct Text<T>(fn(&str) -> Result<T, String>);

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        self.0(text).map_err(E::custom)
    }
}

fn method<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    deserializer.deserialize_str(Text(|text| {
        if is_token(text) { Ok(text.to_owned()) } else { Err(format!("{text:?} is no method")) }
    }))
}

fn target<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    deserializer.deserialize_str(Text(|text| {
        if !text.starts_with('/') {
            return Err(format!("{text:?} is no target: write path and query, for example /search?q=1"));
        }
        match text
            .chars()
            .find(|char| !char.is_ascii_graphic() || matches!(char, '"' | '#' | '<' | '>' | '`'))
        {
            None => Ok(text.to_owned()),
            Some(char) => {
                Err(format!("{char:?} is not sent like that in a target: write it percent-encoded"))
            }
        }
    }))
}

fn workload<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    deserializer
        .deserialize_str(Text(|text| match text.split_once('/') {
            Some((kind, name)) if !kind.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(text.to_owned())
            }
            _ => Err(format!("{text:?} is no workload: write Kind/name, for example Deployment/web")),
        }))
        .map(Some)
}

fn base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
    deserializer
        .deserialize_str(Text(|text| {
            let digits: String = text.split_ascii_whitespace().collect();
            BASE64.decode(digits).map_err(|error| format!("this is no base64: {error}"))
        }))
        .map(Some)
}

fn verdict<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Verdict, D::Error> {
    deserializer.deserialize_str(Text(|text| {
        let found = Verdict::ALL.into_iter().find(|verdict| verdict.as_str() == text);
        found.ok_or_else(|| {
            let known = Verdict::ALL.map(Verdict::as_str).join(", ");
            format!("{text:?} is no verdict: use one of {known}")
        })
    }))
}

fn class<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Class>, D::Error> {
    deserializer
        .deserialize_str(Text(|text| {
            let found = Class::ALL.into_iter().find(|class| class.key() == text || class.as_str() == text);
            found
                .ok_or_else(|| format!("{text:?} is no class: use for example sqlInjection or sql_injection"))
        }))
        .map(Some)
}

/// A mapping of names to one value or a list of values, in the order of the file.
fn headers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, String)>, D::Error> {
    struct Headers;

    impl<'de> Visitor<'de> for Headers {
        type Value = Vec<(String, String)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a mapping of names to values")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut lines = Vec::new();
            while let Some(name) = map.next_key::<String>()? {
                if !is_token(&name) {
                    return Err(A::Error::custom(format!("{name:?} is no name of a field")));
                }
                let Values(values) = map.next_value()?;
                lines.extend(values.into_iter().map(|value| (name.to_ascii_lowercase(), value)));
            }
            Ok(lines)
        }
    }
    deserializer.deserialize_map(Headers)
}

/// One value, or a list of them.
struct Values(Vec<String>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Values;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Values, E> {
                one(text).map(|value| Values(vec![value]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Values, A::Error> {
                let mut values = Vec::new();
                while let Some(text) = list.next_element::<String>()? {
                    values.push(one(&text)?);
                }
                Ok(Values(values))
            }
        }

        fn one<E: Error>(text: &str) -> Result<String, E> {
            if text.contains(['\r', '\n', '\0']) {
                return Err(E::custom("a value of a field has no line end and no NUL in it"));
            }
            Ok(text.to_owned())
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    const HEAD: &str = "requests:\n- name: a\n";

    #[test]
    fn a_request_says_as_much_as_it_needs() {
        let text = "podLabels: {app: front}\nrequests:\n- name: a\n  target: /?q=1\n  expect: {verdict: allow}\n- name: b\n  \
                    method: POST\n  target: /login\n  headers:\n    Content-Type: application/json\n    X-A: [b, c]\n  \
                    bodyBase64: |\n    eyJh\n    IjoxfQ==\n  expect: {verdict: block, class: sqlInjection, rule: sqli-tautology}\n";
        let requests = parse("a.yaml", text).unwrap().requests;
        assert_eq!((requests[0].method.as_str(), requests[0].body()), ("GET", &b""[..]));
        assert_eq!(requests[1].body(), br#"{"a":1}"#);
        let names: Vec<&str> = requests[1].headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["content-type", "x-a", "x-a"]);
    }

    #[test]
    fn what_is_wrong_is_told_with_line_and_field() {
        let table = [
            ("  targt: /\n", "unknown field `targt`", "line 3"),
            ("  target: a\n  expect: {verdict: allow}\n", "requests[0].target: \"a\" is no target", "line 3"),
            ("  target: /a b\n  expect: {verdict: allow}\n", "' ' is not sent like that", "line 3"),
            (
                "  target: /\n  expect:\n    verdict: deny\n",
                "requests[0].expect.verdict: \"deny\" is no verdict: use one of allow, would_block",
                "line 5",
            ),
            (
                "  target: /\n  expect: {verdict: allow, class: sqli}\n",
                "requests[0].expect.class: \"sqli\" is no class",
                "line 4",
            ),
            (
                "  target: /\n  method: G T\n  expect: {verdict: allow}\n",
                "requests[0].method: \"G T\" is no method",
                "line 4",
            ),
            (
                "  target: /\n  bodyBase64: '!'\n  expect: {verdict: allow}\n",
                "requests[0].bodyBase64: this is no base64",
                "line 4",
            ),
            (
                "  target: /\n  headers: {a b: c}\n  expect: {verdict: allow}\n",
                "\"a b\" is no name of a field",
                "line 4",
            ),
            (
                "  target: /\n  workload: web\n  expect: {verdict: allow}\n",
                "requests[0].workload: \"web\" is no workload",
                "line 4",
            ),
            ("  target: /\n", "missing field `expect`", "line"),
            (
                "  target: /\n  expect: {verdict: allow}\nservices: [web]\n",
                "services is set without podLabels",
                "",
            ),
            (
                "  target: /\n  body: a\n  bodyBase64: YQ==\n  expect: {verdict: allow}\n",
                "requests[0] (\"a\") has body and bodyBase64",
                "",
            ),
            (
                "  target: /\n  expect: {verdict: allow}\n- {name: a, target: /, expect: {verdict: allow}}\n",
                "requests[1].name is \"a\" for the second time",
                "",
            ),
        ];
        for (rest, what, line) in table {
            let error = format!("{:#}", parse("a.yaml", &format!("{HEAD}{rest}")).unwrap_err());
            assert!(
                error.starts_with("a.yaml: ") && error.contains(what) && error.contains(line),
                "{rest}: {error}"
            );
        }
        let error = format!("{:#}", parse("a.json", "{\"requests\": [\n{\"name\": 1}]}").unwrap_err());
        assert!(error.contains("invalid type: integer `1`") && error.contains("line 2"), "{error}");
        assert!(parse("a.yaml", "requests: []\n").is_err());
    }
}
