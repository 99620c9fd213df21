//! Which record is gone back to, and what has to be done to each object for it. Pure.

use std::collections::BTreeMap;

use rasp_policy::api::Kind;
use rasp_policy::bundle::Bundle;
use rasp_policy::history::{Record, State, cluster, is_same, normal};
use serde::Serialize;
use serde_json::Value;

use crate::fleet::text;

/// An object as the API server has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    /// RaspPolicy or RaspException.
    pub kind: Kind,
    /// `metadata.name`
    pub name: String,
    /// All of it.
    pub object: Value,
}

impl Live {
    fn spec(&self) -> Value {
        normal(self.kind, self.object.get("spec").unwrap_or(&Value::Null))
    }
}

/// What is done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Action {
    /// Its spec is put back.
    Change,
    /// It was deleted since, and is made again.
    Recreate,
    /// It was made since, and is deleted.
    Delete,
    /// It was made since, and stays.
    Keep,
    /// It is left alone, since what it said is not known.
    Unknown,
}

impl Action {
    /// Whether the API server has to be asked.
    pub fn is_a_write(self) -> bool {
        matches!(self, Self::Change | Self::Recreate | Self::Delete)
    }

    /// For people.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Recreate => "make again",
            Self::Delete => "delete",
            Self::Keep | Self::Unknown => "leave",
        }
    }
}

/// One object, and what is done with it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What.
    pub action: Action,
    /// RaspPolicy or RaspException.
    pub kind: Kind,
    /// `metadata.name`
    pub name: String,
    /// Who keeps the object, if it is a tool that would put it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<&'static str>,
    /// From what is there to what will be.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub diff: String,
    /// The object as it is there.
    #[serde(skip)]
    pub live: Option<Value>,
    /// The spec that it gets.
    #[serde(skip)]
    pub spec: Option<Value>,
}

impl Step {
    /// `RaspPolicy/web`
    pub fn title(&self) -> String {
        format!("{}/{}", self.kind.as_str(), self.name)
    }
}

fn state(live: &[Live]) -> State {
    live.iter().map(|one| ((one.kind, one.name.clone()), Some(one.spec()))).collect()
}

/// The record that is gone back to: the one that is named; else that before the one which the objects are like now; else, where
/// they are like none (a change that is not in force: an invalid one, or one of this moment), the newest.
pub fn choose<'a>(records: &'a [Record], live: &[Live], to: Option<u64>) -> Result<&'a Record, String> {
    let known = || records.iter().map(|record| record.sequence.to_string()).collect::<Vec<_>>().join(", ");
    if let Some(to) = to {
        let found = records.iter().find(|record| record.sequence == to);
        return found.ok_or_else(|| {
            if records.is_empty() {
                format!("there is no record {to}, nor any other that the operator signed: see --list")
            } else {
                format!("there is no record {to} that the operator signed; there are {}", known())
            }
        });
    }
    let live = state(live);
    let current = records.iter().rposition(|record| is_same(&record.state(), &live));
    let before = match current {
        Some(current) => records.get(..current).unwrap_or_default(),
        None => records,
    };
    before.iter().rev().find(|record| !is_same(&record.state(), &live)).ok_or_else(|| {
        "there is nothing to go back to: the history holds no other state, see --list".to_owned()
    })
}

/// What has to be done, kind by kind in the order of names: first what is put back, then what is deleted.
pub fn plan(target: &Record, live: &[Live], prune: bool) -> Vec<Step> {
    let found: BTreeMap<_, _> = live.iter().map(|one| ((one.kind, one.name.clone()), one)).collect();
    let wanted = target.state();
    let mut steps = Vec::new();
    for ((kind, name), spec) in &wanted {
        let live = found.get(&(*kind, name.clone()));
        let action = match (live, spec) {
            (_, None) => Action::Unknown,
            (Some(live), Some(spec)) if live.spec() == *spec => continue,
            (Some(_), Some(_)) => Action::Change,
            (None, Some(_)) => Action::Recreate,
        };
        steps.push(step(action, *kind, name, live.copied(), spec.as_ref()));
    }
    let since = found.iter().filter(|(key, _)| !wanted.contains_key(key));
    let action = if prune { Action::Delete } else { Action::Keep };
    steps.extend(since.map(|((kind, name), live)| step(action, *kind, name, Some(live), None)));
    steps
}

fn step(action: Action, kind: Kind, name: &str, live: Option<&Live>, spec: Option<&Value>) -> Step {
    let is_a_write = action.is_a_write();
    let before = live.filter(|_| is_a_write).map(Live::spec);
    let title = format!("{}/{name}", kind.as_str());
    Step {
        action,
        kind,
        name: name.to_owned(),
        managed_by: live.and_then(|live| manager(&live.object)),
        diff: if is_a_write { diff(&title, before.as_ref(), spec) } else { String::new() },
        live: live.map(|live| live.object.clone()),
        spec: spec.cloned(),
    }
}

fn diff(title: &str, before: Option<&Value>, after: Option<&Value>) -> String {
    let yaml =
        |spec: Option<&Value>| spec.and_then(|spec| serde_yaml::to_string(spec).ok()).unwrap_or_default();
    let (before, after) = (yaml(before), yaml(after));
    let (from, to) = (format!("now/{title}"), format!("then/{title}"));
    similar::TextDiff::from_lines(&before, &after).unified_diff().header(&from, &to).to_string()
}

/// The tool that keeps an object as it is written elsewhere, by the marks that it leaves on what it makes.
fn manager(object: &Value) -> Option<&'static str> {
    const MARKS: [(&str, &str, &str); 6] = [
        ("annotations", "argocd.argoproj.io/tracking-id", "Argo CD"),
        ("labels", "argocd.argoproj.io/instance", "Argo CD"),
        ("labels", "kustomize.toolkit.fluxcd.io/name", "Flux"),
        ("labels", "helm.toolkit.fluxcd.io/name", "Flux"),
        ("annotations", "meta.helm.sh/release-name", "Helm"),
        ("annotations", "kapp.k14s.io/identity", "kapp"),
    ];
    const MANAGERS: [(&str, &str); 5] = [
        ("argocd-controller", "Argo CD"),
        ("argocd-application-controller", "Argo CD"),
        ("kustomize-controller", "Flux"),
        ("helm-controller", "Flux"),
        ("helm", "Helm"),
    ];
    let metadata = object.get("metadata")?;
    let is_marked =
        |(map, key, _): &&(&str, &str, &str)| metadata.get(map).is_some_and(|map| map.get(key).is_some());
    if let Some((.., by)) = MARKS.iter().find(is_marked) {
        return Some(by);
    }
    let managers = metadata.get("managedFields").and_then(Value::as_array).into_iter().flatten();
    let mut names = managers.map(|manager| text(manager, "/manager"));
    names.find_map(|name| MANAGERS.iter().find(|(known, _)| *known == name)).map(|(_, by)| *by)
}

/// Between two records: what was made, changed and deleted.
pub fn changes(before: &Record, after: &Record) -> Vec<String> {
    let (before, after) = (before.state(), after.state());
    let title = |(kind, name): &(Kind, String)| format!("{}/{name}", kind.as_str());
    let mut changes = Vec::new();
    for (key, spec) in &after {
        match before.get(key) {
            None => changes.push(format!("made {}", title(key))),
            Some(former) if former == spec => {}
            Some(former) => {
                changes.push(format!("changed {}: {}", title(key), fields(former.as_ref(), spec.as_ref())));
            }
        }
    }
    let deleted = before.keys().filter(|key| !after.contains_key(key));
    changes.extend(deleted.map(|key| format!("deleted {}", title(key))));
    changes
}

/// The fields of the first level that differ.
fn fields(before: Option<&Value>, after: Option<&Value>) -> String {
    let (Some(Value::Object(before)), Some(Value::Object(after))) = (before, after) else {
        return "what it said is not known".to_owned();
    };
    let names: std::collections::BTreeSet<&str> =
        before.keys().chain(after.keys()).map(String::as_str).collect();
    let differ = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    differ.collect::<Vec<_>>().join(" ")
}

/// Policies of the cluster that are others now: they are not gone back to.
pub fn cluster_differences(target: &Record, bundle: &Bundle) -> Vec<String> {
    let now = cluster(bundle);
    let told = |name: &str, what: &str| {
        format!("ClusterRaspPolicy/{name} {what}: policies of the cluster are not touched")
    };
    let mut differences = Vec::new();
    for then in &target.cluster {
        match now.iter().find(|now| now.uid == then.uid) {
            None => differences.push(told(&then.name, "took part then and does not now")),
            Some(now) if now.generation != then.generation => {
                let what = format!("was generation {} then and is {} now", then.generation, now.generation);
                differences.push(told(&then.name, &what));
            }
            Some(_) => {}
        }
    }
    let since = now.iter().filter(|now| target.cluster.iter().all(|then| then.uid != now.uid));
    differences.extend(since.map(|now| told(&now.name, "did not take part then")));
    differences
}
