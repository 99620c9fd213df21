//! The CustomResourceDefinition, generated from the Rust types. `operator`'s `generate` command writes it to the chart.

use kube::CustomResourceExt as _;

pub use crate::api::RaspPolicy;

/// The CRD of [`RaspPolicy`] as YAML, with the annotation that keeps it when the chart is uninstalled.
pub fn rasp_policy_yaml() -> Result<String, serde_yaml::Error> {
    let mut crd = RaspPolicy::crd();
    crd.metadata
        .annotations
        .get_or_insert_default()
        .insert("helm.sh/resource-policy".to_owned(), "keep".to_owned());
    serde_yaml::to_string(&crd)
}
