//! Sorts the pods of a cluster by how they are protected: with the code of the webhook, which says of a pod without
//! sidecar why, and of one with it in what it differs from what would be added now. Pure.
//! Called by [`crate::check`] and [`crate::status`].

use std::collections::BTreeMap;

use rasp_operator::inject::{Decision, Level, NamespaceFacts, Plan, Reason, Settings, decide};
use rasp_policy::pod::{INJECT_LABEL, Interception, PROXY_CONTAINER, env};
use serde::Serialize;
use serde_json::Value;

/// A namespace and its pods.
#[derive(Clone, Debug, PartialEq)]
pub struct Namespace {
    /// `metadata.name`
    pub name: String,
    /// `metadata.labels`
    pub labels: BTreeMap<String, String>,
    /// How it asks for protection.
    pub level: Level,
    /// The webhook leaves it alone, by its name.
    pub excluded: bool,
    /// Pods that are asked to be protected, or are.
    pub pods: Vec<Pod>,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.name`
    pub name: String,
    /// Image of the sidecar.
    pub image: Option<String>,
    /// How connections reach the sidecar; `None` where there is none.
    pub interception: Option<Interception>,
    /// How it is protected.
    pub state: State,
}

/// How a pod is protected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum State {
    /// As the operator would do it now.
    Protected,
    /// By a sidecar that differs from what the operator would add now.
    Outdated {
        /// In what.
        difference: String,
    },
    /// Not.
    Unprotected {
        /// One word from the list of reasons of injection, `not_injected` or `unknown`.
        reason: String,
        /// What it means.
        message: String,
    },
}

/// Sorts them. Namespaces that ask for nothing, in no words, and have no pod that does are left out, and so is what has ended or
/// is being deleted.
/// `excluded` says which namespaces the webhook leaves alone.
pub fn sort(
    namespaces: &[Value],
    pods: &[Value],
    settings: Option<&Settings>,
    excluded: impl Fn(&str) -> bool,
) -> Vec<Namespace> {
    let mut by_namespace: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| lives(pod)) {
        by_namespace.entry(text(pod, "/metadata/namespace")).or_default().push(pod);
    }
    let mut sorted: Vec<Namespace> = namespaces
        .iter()
        .filter(|namespace| !is_going(namespace))
        .map(|namespace| {
            let name = text(namespace, "/metadata/name");
            let facts = facts(namespace);
            let level = level(&facts.labels);
            let excluded = excluded(name);
            let pods = by_namespace.get(name).into_iter().flatten();
            let pods = pods.filter(|pod| is_ours(pod, level, &facts)).map(|pod| Pod {
                name: text(pod, "/metadata/name").to_owned(),
                image: image(pod),
                interception: interception(pod),
                state: state(pod, level, &facts, settings, excluded),
            });
            let pods = pods.collect();
            Namespace { name: name.to_owned(), level, excluded, pods, labels: facts.labels }
        })
        .filter(|namespace| namespace.asks() || namespace.is_mislabelled() || !namespace.pods.is_empty())
        .collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    sorted
}

/// A namespace of which no pod matters.
pub fn without_pods(namespace: &Value, excluded: bool) -> Namespace {
    let NamespaceFacts { labels, .. } = facts(namespace);
    let name = text(namespace, "/metadata/name").to_owned();
    Namespace { name, level: level(&labels), excluded, pods: Vec::new(), labels }
}

impl Namespace {
    /// Whether it asks for the protection of its pods.
    pub fn asks(&self) -> bool {
        self.level != Level::Object
    }

    /// Whether its label is no word that means anything: somebody asked for something, and has not got it.
    pub fn is_mislabelled(&self) -> bool {
        let known = ["enabled", "enforced", "disabled"];
        self.labels.get(INJECT_LABEL).is_some_and(|label| !known.contains(&label.as_str()))
    }

    /// What its label says.
    pub fn label(&self) -> &str {
        self.labels.get(INJECT_LABEL).map_or("-", String::as_str)
    }

    /// Names of the pods in a state, with the namespace.
    pub fn names(&self, is_in: impl Fn(&State) -> bool) -> Vec<String> {
        let pods = self.pods.iter().filter(|pod| is_in(&pod.state));
        pods.map(|pod| format!("{}/{}", self.name, pod.name)).collect()
    }
}

impl Pod {
    /// Protected without packet rules: it can be reached around its sidecar.
    pub fn is_weaker(&self) -> bool {
        self.interception == Some(Interception::None)
    }
}

impl State {
    /// With a sidecar, of whatever version.
    pub fn has_sidecar(&self) -> bool {
        !matches!(self, Self::Unprotected { .. })
    }
}

/// The level that the label of a namespace asks for.
fn level(labels: &BTreeMap<String, String>) -> Level {
    match labels.get(INJECT_LABEL).map(String::as_str) {
        Some("enabled") => Level::Enabled,
        Some("enforced") => Level::Enforced,
        _ => Level::Object,
    }
}

fn facts(namespace: &Value) -> NamespaceFacts {
    let texts = |key: &str| -> BTreeMap<String, String> {
        let map = namespace.pointer(&format!("/metadata/{key}")).and_then(Value::as_object);
        let pairs = map.into_iter().flatten();
        pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
    };
    NamespaceFacts { labels: texts("labels"), annotations: texts("annotations"), ..NamespaceFacts::default() }
}

fn lives(pod: &Value) -> bool {
    !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") && !is_going(pod)
}

fn is_going(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null())
}

/// Where the namespace asks for nothing, a pod counts that asks itself, or has a sidecar.
fn is_ours(pod: &Value, level: Level, facts: &NamespaceFacts) -> bool {
    let is_disabled = facts.labels.get(INJECT_LABEL).is_some_and(|label| label == "disabled");
    let asks = pod.pointer("/metadata/labels").and_then(|labels| labels.get(INJECT_LABEL));
    level != Level::Object
        || image(pod).is_some()
        || !is_disabled && asks.and_then(Value::as_str) == Some("true")
}

fn state(
    pod: &Value,
    level: Level,
    facts: &NamespaceFacts,
    settings: Option<&Settings>,
    excluded: bool,
) -> State {
    let has_sidecar = image(pod).is_some();
    let unprotected = |reason: &str, message: &str| State::Unprotected {
        reason: reason.to_owned(),
        message: message.to_owned(),
    };
    if excluded && !has_sidecar {
        return unprotected("excluded", "the webhook leaves this namespace alone, by its name");
    }
    let Some(settings) = settings else {
        let why = "why is not known without the settings of the operator";
        return if has_sidecar { State::Protected } else { unprotected("unknown", why) };
    };
    match decide(pod, level, facts, settings) {
        Decision::Inject(Plan { replaces: Some(difference), .. })
        | Decision::Refuse(Reason::NameInUse { difference, .. })
            if has_sidecar =>
        {
            State::Outdated { difference }
        }
        _ if has_sidecar => State::Protected,
        Decision::Inject(_) => unprotected(
            "not_injected",
            "created before its namespace was labelled, or while the webhook did not answer: restart its workload",
        ),
        Decision::Skip(reason) | Decision::Refuse(reason) => unprotected(reason.id(), &reason.to_string()),
    }
}

fn sidecar(pod: &Value) -> Option<&Value> {
    let lists =
        ["initContainers", "containers"].iter().filter_map(|list| pod.get("spec")?.get(list)?.as_array());
    lists.flatten().find(|container| text(container, "/name") == PROXY_CONTAINER)
}

fn image(pod: &Value) -> Option<String> {
    sidecar(pod).map(|container| text(container, "/image").to_owned())
}

/// The sidecar is told its ports where no packet rules bring connections to it.
fn interception(pod: &Value) -> Option<Interception> {
    let variables = sidecar(pod)?.get("env").and_then(Value::as_array);
    let serves = variables.into_iter().flatten().any(|variable| text(variable, "/name") == env::SERVED_PORTS);
    Some(if serves { Interception::None } else { Interception::Redirect })
}

/// The text at a JSON pointer; empty where there is none.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests;
