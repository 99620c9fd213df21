//! RaspException: one exception as an object of its own, so that a team may be given rights on it alone.
//!
//! Narrow by construction, as [`Exception`] is, and it ends: whether one may be for ever is said by a ClusterRaspPolicy, so
//! that `expiresAt` cannot be required by the schema. The fields of [`Exception`] stand here again, since `flatten` would hide
//! fields that nobody knows from readers that refuse them (serde-ignored#10); a test of the CRDs compares them.

use serde::{Deserialize, Serialize};

#[cfg(feature = "crd")]
use super::RaspPolicyStatus;
use super::{ClusterRaspPolicySpec, Exception, RaspPolicySpec, TargetRef, target};
use crate::class::Class;
use crate::selector::LabelSelector;

/// Findings in pods of one namespace that are recorded and never acted on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(
    feature = "crd",
    derive(kube::CustomResource, kube::KubeSchema),
    kube(
        group = "rasp.dev",
        version = "v1alpha1",
        kind = "RaspException",
        plural = "raspexceptions",
        singular = "raspexception",
        shortname = "rx",
        category = "rasp",
        doc = "Findings in pods of one namespace that are no attacks, and (in status) how often there were such.",
        namespaced,
        status = "RaspPolicyStatus",
        derive = "PartialEq",
        printcolumn = r#"{"name":"Rule","type":"string","jsonPath":".spec.rule"}"#,
        printcolumn = r#"{"name":"Class","type":"string","jsonPath":".spec.class"}"#,
        printcolumn = r#"{"name":"Path","type":"string","jsonPath":".spec.path"}"#,
        printcolumn = r#"{"name":"Parameter","type":"string","jsonPath":".spec.parameter"}"#,
        printcolumn = r#"{"name":"Accepted","type":"string","jsonPath":".status.conditions[?(@.type==\"Accepted\")].status"}"#,
        printcolumn = r#"{"name":"Hits","type":"integer","jsonPath":".status.hits","description":"Findings it took, as the running sidecars count them."}"#,
        printcolumn = r#"{"name":"Expires","type":"string","jsonPath":".spec.expiresAt"}"#,
        printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
        printcolumn = r#"{"name":"Last hit","type":"date","jsonPath":".status.lastHit","priority":1}"#
    ),
    x_kube(
        validation = ("has(self.rule) != has(self.class)", "set either rule or class"),
        validation = (
            "!has(self.class) || (has(self.path) && has(self.parameter))",
            "an exception for a class needs path and parameter: without them set the mode of the class"
        ),
        validation = (
            "!(has(self.podSelector) && has(self.targetRefs))",
            "set either podSelector or targetRefs"
        )
    )
)]
pub struct RaspExceptionSpec {
    /// The pods it is for, by their labels. Absent, as targetRefs: every pod of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,
    /// The Services, Deployments, StatefulSets and DaemonSets of the namespace whose pods it is for, or one port of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "crd",
        schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "atomic"))
    )]
    pub target_refs: Option<Vec<TargetRef>>,
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
    /// Why these findings are no attacks, for whoever reads it in a year.
    #[cfg_attr(feature = "crd", schemars(length(min = 1, max = 512), regex(pattern = r"\S")))]
    pub reason: String,
    /// When it ends, in UTC, for example `2027-01-31T00:00:00Z`. Needed, unless a ClusterRaspPolicy of the namespace says
    /// allowPermanentExceptions.
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

impl RaspExceptionSpec {
    /// The exception that it is. `name` is that of the object.
    pub fn exception(&self, name: &str) -> Exception {
        let Self { rule, class, path, part, parameter, reason, expires_at, .. } = self.clone();
        Exception { name: name.to_owned(), rule, class, path, part, parameter, reason, expires_at }
    }

    /// The policy that says the same: what travels in a Bundle.
    pub fn policy(&self, name: &str) -> RaspPolicySpec {
        RaspPolicySpec {
            pod_selector: self.pod_selector.clone(),
            target_refs: self.target_refs.clone(),
            exceptions: Some(vec![self.exception(&listed(name))]),
            ..RaspPolicySpec::default()
        }
    }

    /// The exception that such a policy was made of.
    pub fn of_policy(policy: &RaspPolicySpec) -> Option<Self> {
        let [exception] = policy.exceptions.as_deref()? else { return None };
        let Exception { rule, class, path, part, parameter, reason, expires_at, .. } = exception.clone();
        let (pod_selector, target_refs) = (policy.pod_selector.clone(), policy.target_refs.clone());
        Some(Self { pod_selector, target_refs, rule, class, path, part, parameter, reason, expires_at })
    }

    /// What the schema says, for readers that no API server protects.
    pub fn check(&self) -> Result<(), String> {
        target::check(self.pod_selector.is_some(), self.target_refs.as_deref())?;
        // The name of an object may be longer than that of an exception in a list.
        self.exception("x").check().map_err(|message| format!("spec.{message}"))
    }
}

/// The name of an object as an exception in a list may have it: objects may have 253 characters and dots. Nobody is told
/// this name: events and metrics say that of the object.
fn listed(name: &str) -> String {
    let label = name.replace('.', "-");
    label.get(..63).unwrap_or(&label).trim_end_matches('-').to_owned()
}

/// Whether exceptions may be without an end, where these cluster policies are in force: one has to say so, none may deny it.
pub fn permanent_allowed<'a>(policies: impl IntoIterator<Item = &'a ClusterRaspPolicySpec>) -> bool {
    let mut said = policies.into_iter().filter_map(|policy| policy.allow_permanent_exceptions).peekable();
    said.peek().is_some() && said.all(|allowed| allowed)
}

/// What is wrong with an exception that has no end where none may be for ever.
pub const NEEDS_AN_END: &str = "spec.expiresAt is missing: set it, or let a ClusterRaspPolicy of this namespace say allowPermanentExceptions";
