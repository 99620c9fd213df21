//! ClusterRaspPolicy: the settings of a RaspPolicy for many namespaces, either below everything that these say or above it.

use serde::{Deserialize, Serialize};

use super::RaspPolicySpec;
#[cfg(feature = "crd")]
use super::RaspPolicyStatus;
use crate::selector::LabelSelector;

/// Settings for the pods of many namespaces: defaults that every policy of a namespace may change, or overrides that none
/// can. An override to Monitor is the way to switch blocking off everywhere at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(
    feature = "crd",
    derive(kube::CustomResource, kube::KubeSchema),
    kube(
        group = "rasp.dev",
        version = "v1alpha1",
        kind = "ClusterRaspPolicy",
        plural = "clusterrasppolicies",
        singular = "clusterrasppolicy",
        shortname = "crp",
        category = "rasp",
        doc = "Defaults or overrides of RaspPolicies for many namespaces, and (in status) what is really in force.",
        status = "RaspPolicyStatus",
        derive = "PartialEq",
        printcolumn = r#"{"name":"Overrides","type":"string","jsonPath":".spec.overrides.mode","description":"Mode that no policy of a namespace can change."}"#,
        printcolumn = r#"{"name":"Defaults","type":"string","jsonPath":".spec.defaults.mode","description":"Mode where no policy of a namespace says another."}"#,
        printcolumn = r#"{"name":"Observed","type":"string","jsonPath":".status.effectiveMode","description":"Mode the sidecars report."}"#,
        printcolumn = r#"{"name":"Programmed","type":"string","jsonPath":".status.conditions[?(@.type==\"Programmed\")].status"}"#,
        printcolumn = r#"{"name":"Pods","type":"integer","jsonPath":".status.targets.programmed","description":"Sidecars that have this generation in force."}"#,
        printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
        printcolumn = r#"{"name":"Unprotected","type":"integer","jsonPath":".status.targets.unprotected","description":"Pods without a sidecar.","priority":1}"#,
        printcolumn = r#"{"name":"Outdated","type":"integer","jsonPath":".status.targets.outdated","description":"Sidecars that do not have this generation in force.","priority":1}"#,
        printcolumn = r#"{"name":"Outdated sidecars","type":"integer","jsonPath":".status.targets.outdatedSidecars","description":"Sidecars of another version than new pods get.","priority":1}"#
    ),
    x_kube(validation = ("has(self.defaults) != has(self.overrides)", "set either defaults or overrides"))
)]
pub struct ClusterRaspPolicySpec {
    /// The namespaces this policy is for, by their labels. Absent: every namespace that has sidecars, asks for them, or has
    /// policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// Settings that are in force where no policy of a namespace says another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defaults: Option<RaspPolicySpec>,
    /// Settings that are in force whatever the policies of a namespace say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<RaspPolicySpec>,
    /// Whether a RaspException in these namespaces may be without expiresAt. It may where one policy says true and none
    /// says false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_permanent_exceptions: Option<bool>,
}

/// Which half of a ClusterRaspPolicy the settings stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Origin {
    /// Below the policies of a namespace.
    Defaults,
    /// Above them.
    Overrides,
}

impl Origin {
    /// The field it stands for.
    pub fn field(self) -> &'static str {
        match self {
            Self::Defaults => "defaults",
            Self::Overrides => "overrides",
        }
    }
}

impl ClusterRaspPolicySpec {
    /// Its settings and where they stand; the message says what is wrong otherwise.
    pub fn settings(&self) -> Result<(Origin, &RaspPolicySpec), String> {
        match (&self.defaults, &self.overrides) {
            (Some(settings), None) => Ok((Origin::Defaults, settings)),
            (None, Some(settings)) => Ok((Origin::Overrides, settings)),
            (None, None) => Err("spec.defaults and overrides are missing: set one of them".into()),
            (Some(_), Some(_)) => Err("spec.defaults is set beside overrides: set one of them".into()),
        }
    }

    /// What the schema says, for readers that no API server protects.
    pub fn check(&self) -> Result<(), String> {
        let (origin, settings) = self.settings()?;
        if settings.pod_selector.is_some() || settings.target_refs.is_some() {
            return Err(format!(
                "spec.{} selects pods: a ClusterRaspPolicy selects namespaces, remove podSelector and targetRefs",
                origin.field()
            ));
        }
        if settings.enforcement.as_ref().is_some_and(|enforcement| enforcement.rollout.is_some()) {
            return Err(format!(
                "spec.{}.enforcement.rollout is for a RaspPolicy: its numbers and steps are those of one namespace, set percent",
                origin.field()
            ));
        }
        settings.check().map_err(|message| within(origin, &message))
    }
}

/// A message about a RaspPolicy's `spec.mode` as one about `spec.overrides.mode`.
pub fn within(origin: Origin, message: &str) -> String {
    match message.strip_prefix("spec.") {
        Some(rest) => format!("spec.{}.{rest}", origin.field()),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::ClusterRaspPolicySpec;

    #[test]
    fn a_cluster_policy_has_one_half_and_selects_no_pods() {
        let table = [
            ("{overrides: {mode: Monitor}}", ""),
            (
                "{namespaceSelector: {matchLabels: {team: a}}, defaults: {}, allowPermanentExceptions: true}",
                "",
            ),
            ("{}", "spec.defaults and overrides are missing"),
            ("{defaults: {}, overrides: {}}", "spec.defaults is set beside overrides"),
            ("{defaults: {podSelector: {}}}", "spec.defaults selects pods"),
            (
                "{defaults: {enforcement: {rollout: {steps: [5], interval: 10m, abortOn: {errorRatio: 0}}}}}",
                "spec.defaults.enforcement.rollout is for a RaspPolicy",
            ),
            ("{overrides: {response: {status: 200}}}", "spec.overrides.response.status is 200"),
        ];
        for (yaml, expected) in table {
            let spec: ClusterRaspPolicySpec = serde_yaml::from_str(yaml).unwrap();
            let said = spec.check().err().unwrap_or_default();
            assert!(said.starts_with(expected) && expected.is_empty() == said.is_empty(), "{yaml}: {said}");
        }
    }
}
