//! The CustomResourceDefinition, generated from the Rust types. `rasp-operator generate crd` writes it to the chart.
//!
//! What the derive macros cannot say is corrected here, on the finished schema, so that the types stay plain.

use kube::CustomResourceExt as _;

pub use crate::api::RaspPolicy;

/// The CRD of [`RaspPolicy`] as YAML, with the annotation that keeps it when the chart is uninstalled: removing it
/// would remove every policy in the cluster.
pub fn rasp_policy_yaml() -> Result<String, serde_yaml::Error> {
    let mut crd = RaspPolicy::crd();
    crd.metadata
        .annotations
        .get_or_insert_default()
        .insert("helm.sh/resource-policy".to_owned(), "keep".to_owned());
    let mut crd = serde_yaml::to_value(&crd)?;
    tidy(&mut crd);
    Ok(quoted(&serde_yaml::to_string(&crd)?))
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
