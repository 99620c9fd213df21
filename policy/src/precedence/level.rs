//! How specific a policy is for one port of one pod. The order of [`Level`] is the whole precedence.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::api::Origin;
use crate::bundle::{Bundle, Entry, Target};
use crate::selector::Subject;

/// Levels of precedence, the highest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// `overrides` of a ClusterRaspPolicy.
    ClusterOverrides,
    /// `targetRefs` with a `sectionName`.
    Port,
    /// `podSelector`, or `targetRefs` without `sectionName`.
    Workload,
    /// Neither: for the whole namespace.
    Namespace,
    /// `defaults` of a ClusterRaspPolicy.
    ClusterDefaults,
    /// The built-in values.
    Builtin,
}

impl Level {
    /// Every level, the highest first.
    pub const ALL: [Self; 6] = [
        Self::ClusterOverrides,
        Self::Port,
        Self::Workload,
        Self::Namespace,
        Self::ClusterDefaults,
        Self::Builtin,
    ];

    /// As documents say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterOverrides => "cluster overrides",
            Self::Port => "port",
            Self::Workload => "workload or selector",
            Self::Namespace => "namespace",
            Self::ClusterDefaults => "cluster defaults",
            Self::Builtin => "built-in",
        }
    }
}

impl Entry {
    /// How specific it is for a port of a pod, with `None` for a port that no policy names; `None` where it is not for it.
    pub fn level(&self, subject: Subject<'_>, port: Option<u16>) -> Option<Level> {
        match self.origin {
            Some(Origin::Overrides) => return Some(Level::ClusterOverrides),
            Some(Origin::Defaults) => return Some(Level::ClusterDefaults),
            None => {}
        }
        if let Some(targets) = &self.targets {
            let here = targets.iter().filter(|target| target.selects(subject));
            return here.filter_map(|target| of_target(target, port)).min();
        }
        match &self.spec.pod_selector {
            Some(selector) => selector.matches(subject.labels).then_some(Level::Workload),
            None => Some(Level::Namespace),
        }
    }
}

fn of_target(target: &Target, port: Option<u16>) -> Option<Level> {
    match &target.ports {
        None => Some(Level::Workload),
        Some(ports) => port.is_some_and(|port| ports.contains(&port)).then_some(Level::Port),
    }
}

/// The ports of a pod that policies name: each has to be resolved on its own.
pub fn ports<'a>(bundle: &Bundle, subject: impl Into<Subject<'a>>) -> BTreeSet<u16> {
    let subject = subject.into();
    let targets = bundle.entries.iter().filter_map(|entry| entry.targets.as_ref()).flatten();
    let here = targets.filter(|target| target.selects(subject));
    here.filter_map(|target| target.ports.as_ref()).flatten().copied().collect()
}
