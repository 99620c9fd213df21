//! What a policy is for, named instead of selected: a Service or a workload of the namespace, or one port of it.
//!
//! The operator resolves Services ([`crate::bundle::Target`]); a workload is the identity that injection fixed.

use serde::{Deserialize, Serialize};

/// Names a Service or a workload of the namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(
    feature = "crd",
    derive(kube::KubeSchema),
    x_kube(validation = (
        "!has(self.group) || self.group == (self.kind == 'Service' ? '' : 'apps')",
        "the group of a Service is empty, that of the others is apps"
    ))
)]
pub struct TargetRef {
    /// API group of the target: empty for a Service, else `apps`. May be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "crd", schemars(length(max = 63)))]
    pub group: Option<String>,
    /// Kind of the target.
    pub kind: TargetKind,
    /// Name of the target, in the namespace of the policy.
    #[cfg_attr(
        feature = "crd",
        schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))
    )]
    pub name: String,
    /// Name of one port: of the Service, or of a container of the workload. Absent: every port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "crd",
        schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))
    )]
    pub section_name: Option<String>,
}

/// Kinds of [`TargetRef`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema), schemars(transform = crate::crd::undescribed))]
pub enum TargetKind {
    /// The pods that a Service selects.
    Service,
    /// The pods of a Deployment.
    Deployment,
    /// The pods of a StatefulSet.
    StatefulSet,
    /// The pods of a DaemonSet.
    DaemonSet,
}

impl TargetKind {
    /// The word users write, and the first half of a workload's identity.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
        }
    }
}

impl TargetRef {
    /// What the schema says, for readers that no API server protects: the field, and what to do.
    pub(crate) fn check(&self) -> Result<(), String> {
        let expected = if self.kind == TargetKind::Service { "" } else { "apps" };
        if self.group.as_ref().is_some_and(|group| group != expected) {
            return Err(format!("group is not that of a {}: use {expected:?}", self.kind.as_str()));
        }
        if !is_name(&self.name, 253, true) {
            return Err("name is not one: use the name of an object of this namespace".into());
        }
        if self.section_name.as_ref().is_some_and(|name| !is_name(name, 63, false)) {
            return Err("sectionName is not the name of a port: numbers have none, name the port".into());
        }
        Ok(())
    }

    /// `Service/web`, or `Service/web port http`.
    pub fn text(&self) -> String {
        let Self { kind, name, section_name, .. } = self;
        match section_name {
            Some(port) => format!("{}/{name} port {port}", kind.as_str()),
            None => format!("{}/{name}", kind.as_str()),
        }
    }
}

/// The rule of both lists of targets.
pub(crate) fn check(selected: bool, targets: Option<&[TargetRef]>) -> Result<(), String> {
    let Some(targets) = targets else { return Ok(()) };
    if selected {
        return Err("spec.targetRefs is set beside podSelector: set one of them".into());
    }
    if !(1..=16).contains(&targets.len()) {
        return Err(format!("spec.targetRefs has {} items; use 1 to 16", targets.len()));
    }
    targets.iter().enumerate().try_for_each(|(index, target)| {
        target.check().map_err(|said| format!("spec.targetRefs[{index}].{said}"))
    })
}

fn is_name(text: &str, longest: usize, dots: bool) -> bool {
    let known = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || (dots && byte == b'.')
    };
    (1..=longest).contains(&text.len())
        && text.bytes().all(known)
        && !text.starts_with(['-', '.'])
        && !text.ends_with(['-', '.'])
}
