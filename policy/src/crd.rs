//! The CustomResourceDefinitions, generated from the Rust types. `rasp-operator generate crd` writes them to the chart.
//!
//! What the derive macros cannot say is corrected here, on the finished schema, so that the types stay plain.

use kube::CustomResourceExt as _;
use kube::core::Resource;

use crate::api::Kind;
pub use crate::api::{ClusterRaspPolicy, RaspException, RaspPolicy};

/// The CRDs of all kinds as YAML documents, in the order of [`Kind::ALL`].
pub fn yaml() -> Result<String, serde_yaml::Error> {
    let documents = Kind::ALL.into_iter().map(yaml_of).collect::<Result<Vec<_>, _>>()?;
    Ok(documents.join("---\n"))
}

/// The CRD of one kind as YAML, with the annotation that keeps it when the chart is uninstalled: removing it would remove
/// every object of its kind in the cluster.
pub fn yaml_of(kind: Kind) -> Result<String, serde_yaml::Error> {
    let mut crd = match kind {
        Kind::RaspPolicy => RaspPolicy::crd(),
        Kind::ClusterRaspPolicy => ClusterRaspPolicy::crd(),
        Kind::RaspException => RaspException::crd(),
    };
    crd.metadata
        .annotations
        .get_or_insert_default()
        .insert("helm.sh/resource-policy".to_owned(), "keep".to_owned());
    let mut crd = serde_yaml::to_value(&crd)?;
    tidy(&mut crd);
    fit(kind, &mut crd);
    Ok(quoted(&serde_yaml::to_string(&crd)?))
}

/// Plural of a kind, as in URLs.
pub fn plural(kind: Kind) -> String {
    match kind {
        Kind::RaspPolicy => RaspPolicy::plural(&()),
        Kind::ClusterRaspPolicy => ClusterRaspPolicy::plural(&()),
        Kind::RaspException => RaspException::plural(&()),
    }
    .into_owned()
}

/// Takes away what types have that kinds share and this one has not: pods are not selected by a cluster's policy, only
/// an exception counts what it took, and only a RaspPolicy is rolled out.
fn fit(kind: Kind, crd: &mut serde_yaml::Value) {
    let versions = crd.get_mut("spec").and_then(|spec| spec.get_mut("versions")?.as_sequence_mut());
    for version in versions.into_iter().flatten() {
        if kind != Kind::RaspException {
            remove(schema(version, &["status"]), &["hits", "lastHit"]);
        }
        if kind != Kind::RaspPolicy {
            remove(schema(version, &["status"]), &["rollout"]);
        }
        if kind == Kind::ClusterRaspPolicy {
            for half in ["defaults", "overrides"] {
                if let Some(settings) = schema(version, &["spec", half]) {
                    settings.shift_remove("x-kubernetes-validations"); // speaks of the two fields
                }
                remove(schema(version, &["spec", half]), &["podSelector", "targetRefs"]);
                without_rollout(schema(version, &["spec", half, "enforcement"]));
            }
        }
    }
}

/// A rollout is of one namespace. What said "either" of two fields now needs the other one.
fn without_rollout(mut enforcement: Option<&mut serde_yaml::Mapping>) {
    remove(enforcement.as_deref_mut(), &["rollout"]);
    let Some(enforcement) = enforcement else { return };
    if let Some(serde_yaml::Value::Sequence(rules)) = enforcement.get_mut("x-kubernetes-validations") {
        let speaks_of_it = |rule: &serde_yaml::Value| {
            rule.get("rule").and_then(serde_yaml::Value::as_str).is_some_and(|rule| rule.contains("rollout"))
        };
        rules.retain(|rule| !speaks_of_it(rule));
    }
    enforcement.insert("required".into(), serde_yaml::Value::Sequence(vec!["percent".into()]));
}

/// The schema of a field.
fn schema<'a>(version: &'a mut serde_yaml::Value, path: &[&str]) -> Option<&'a mut serde_yaml::Mapping> {
    let root = version.get_mut("schema")?.get_mut("openAPIV3Schema")?;
    path.iter().try_fold(root, |node, name| node.get_mut("properties")?.get_mut(*name))?.as_mapping_mut()
}

fn remove(schema: Option<&mut serde_yaml::Mapping>, fields: &[&str]) {
    let properties = schema.and_then(|schema| schema.get_mut("properties")?.as_mapping_mut());
    if let Some(properties) = properties {
        for field in fields {
            properties.shift_remove(*field);
        }
    }
}

/// Puts words in quotes that Kubernetes' YAML 1.1 reads as booleans (the mode `Off`) and our YAML 1.2 does not.
fn quoted(yaml: &str) -> String {
    let mut text = String::with_capacity(yaml.len());
    for line in yaml.lines() {
        match line.rsplit_once(' ') {
            Some((before, word)) if before.ends_with(['-', ':']) && YAML_1_1_BOOLEANS.contains(&word) => {
                text.extend([before, " '", word, "'\n"]);
            }
            _ => text.extend([line, "\n"]),
        }
    }
    text
}

const YAML_1_1_BOOLEANS: [&str; 16] =
    ["y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off", "OFF"];

/// Drops the description of a type, which kube would otherwise put in place of the description of each field of it.
pub(crate) fn undescribed(schema: &mut schemars::Schema) {
    schema.remove("description");
}

/// Removes `nullable` (a null must be an error, not a silent "absent": `podSelector:` with its lines commented out
/// would select the whole namespace), writes whole bounds as integers, and leaves the wrapping of lines to kubectl.
fn tidy(node: &mut serde_yaml::Value) {
    match node {
        serde_yaml::Value::Mapping(mapping) => {
            if mapping.get("nullable").is_some_and(serde_yaml::Value::is_bool) {
                mapping.shift_remove("nullable");
            }
            // Lists that may be absent: the API server would fill them in.
            if mapping.contains_key("type") {
                mapping.shift_remove("default");
            }
            // What a list of values has beside them where the field may be absent.
            if let Some(serde_yaml::Value::Sequence(values)) = mapping.get_mut("enum") {
                values.retain(|value| !value.is_null());
            }
            if let Some(serde_yaml::Value::String(description)) = mapping.get_mut("description") {
                *description = unwrapped(description);
            }
            for bound in ["minimum", "maximum"] {
                let Some(value) = mapping.get_mut(bound) else { continue };
                if let Some(integer) = value.as_f64().and_then(integer) {
                    *value = integer.into();
                }
            }
            mapping.iter_mut().for_each(|(_, value)| tidy(value));
        }
        serde_yaml::Value::Sequence(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// Paragraphs of one line each.
fn unwrapped(description: &str) -> String {
    description.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect::<Vec<_>>().join("\n\n")
}

/// The integer that a bound stands for, through its shortest text.
fn integer(bound: f64) -> Option<i64> {
    bound.to_string().parse().ok()
}

#[cfg(test)]
mod tests;
