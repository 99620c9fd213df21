//! Policies of every kind, and how their status says they stand. Shows what is written there; nothing is worked out.
//! Called by [`crate::check`] and [`crate::status`].

use kube::api::ObjectMeta;
use kube::{Api, Client};
use rasp_policy::api::{
    ClusterRaspPolicy, Condition, Kind, Mode, RaspException, RaspPolicy, RaspPolicyStatus, conditions,
    reasons,
};
use rasp_policy::selector::{LabelSelector, Labels};

use crate::cluster::{Seen, list};

/// A policy or an exception.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it is.
    pub kind: Kind,
    /// Its namespace; `None` for a ClusterRaspPolicy.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The mode that it asks for; of a ClusterRaspPolicy with where it says so.
    pub asked: Option<String>,
    /// Of a ClusterRaspPolicy: the namespaces that it is for.
    pub selector: Option<LabelSelector>,
    /// Of a RaspException: when it ends.
    pub expires_at: Option<String>,
    /// The status speaks of the spec as it is.
    pub current: bool,
    /// What the operator wrote.
    pub status: RaspPolicyStatus,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standings {
    /// Kind by kind.
    pub all: Vec<Standing>,
    /// Which kinds could not be listed, and why.
    pub unseen: Vec<String>,
}

/// Lists those of one namespace, or of all, and those of the cluster.
pub async fn fetch(client: &Client, namespace: Option<&str>) -> Standings {
    let mut found = Standings::default();
    found.take("RaspPolicies", list(&scoped::<RaspPolicy>(client, namespace), "").await);
    found.take("ClusterRaspPolicies", list(&Api::<ClusterRaspPolicy>::all(client.clone()), "").await);
    found.take("RaspExceptions", list(&scoped::<RaspException>(client, namespace), "").await);
    found
}

/// The objects of one namespace, or of all.
pub fn scoped<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

impl Standings {
    fn take<K: Into<Standing>>(&mut self, kind: &str, seen: Seen<Vec<K>>) {
        match seen {
            Ok(objects) => self.all.extend(objects.into_iter().map(Into::into)),
            Err(error) => self.unseen.push(format!("{kind}: {error}")),
        }
    }
}

impl Standing {
    /// `shop/block`, `ClusterRaspPolicy/lever`, `RaspException/shop/editor`.
    pub fn title(&self) -> String {
        let kind =
            if self.kind == Kind::RaspPolicy { String::new() } else { format!("{}/", self.kind.as_str()) };
        let namespace = self.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
        format!("{kind}{namespace}{}", self.name)
    }

    /// One of its conditions.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.status.conditions.iter().find(|condition| condition.r#type == kind)
    }

    /// Whether a condition has this status.
    pub fn is(&self, kind: &str, status: &str) -> bool {
        self.condition(kind).is_some_and(|condition| condition.status == status)
    }

    /// Status and reason of a condition; `Unknown` and `NoStatus` where it is not there.
    pub fn said(&self, kind: &str) -> (String, String) {
        self.condition(kind).map_or_else(
            || ("Unknown".to_owned(), "NoStatus".to_owned()),
            |condition| (condition.status.clone(), condition.reason.clone()),
        )
    }

    /// The conditions that say why it is not, or not everywhere, what its author meant; the first is the cause. That a policy of
    /// the cluster selects nobody is no fault: it may wait for an incident.
    pub fn faults(&self) -> Vec<&Condition> {
        let is_fault = |condition: &Condition| match (&*condition.r#type, &*condition.status) {
            (conditions::ACCEPTED | conditions::RESOLVED_REFS | conditions::PROGRAMMED, "False")
            | (conditions::DEGRADED, "True") => true,
            (conditions::PROGRAMMED, "Unknown") => self.selects_nobody(),
            _ => false,
        };
        let of = |kind: &str| self.condition(kind).filter(|condition| is_fault(condition));
        if let Some(accepted) = of(conditions::ACCEPTED) {
            // All others follow from it.
            return vec![accepted];
        }
        let others = [conditions::RESOLVED_REFS, conditions::DEGRADED, conditions::PROGRAMMED];
        others.into_iter().filter_map(of).collect()
    }

    /// Of a namespace: no pod that runs is selected, which may be a typing error.
    pub fn selects_nobody(&self) -> bool {
        let programmed = self.condition(conditions::PROGRAMMED);
        self.kind != Kind::ClusterRaspPolicy
            && programmed.is_some_and(|condition| condition.reason == reasons::NO_TARGETS)
    }

    /// An exception that has ended.
    pub fn has_expired(&self) -> bool {
        self.condition(conditions::ACCEPTED)
            .is_some_and(|condition| condition.status == "False" && condition.reason == reasons::EXPIRED)
    }

    /// Of a ClusterRaspPolicy: whether it is for a namespace with these labels.
    pub fn is_for(&self, labels: &Labels) -> bool {
        self.selector.as_ref().is_none_or(|selector| selector.matches(labels))
    }

    fn of(kind: Kind, metadata: ObjectMeta, status: Option<RaspPolicyStatus>) -> Self {
        let status = status.unwrap_or_default();
        Self {
            kind,
            namespace: metadata.namespace,
            name: metadata.name.unwrap_or_default(),
            asked: None,
            selector: None,
            expires_at: None,
            current: status.observed_generation == metadata.generation,
            status,
        }
    }
}

impl From<RaspPolicy> for Standing {
    fn from(RaspPolicy { metadata, spec, status }: RaspPolicy) -> Self {
        let asked = spec.mode.map(|mode| mode.as_str().to_owned());
        Self { asked, ..Self::of(Kind::RaspPolicy, metadata, status) }
    }
}

impl From<ClusterRaspPolicy> for Standing {
    fn from(ClusterRaspPolicy { metadata, spec, status }: ClusterRaspPolicy) -> Self {
        let asked = spec.settings().ok().map(|(origin, settings)| {
            format!("{} ({})", settings.mode.map_or("-", Mode::as_str), origin.field())
        });
        let selector = spec.namespace_selector.clone();
        Self { asked, selector, ..Self::of(Kind::ClusterRaspPolicy, metadata, status) }
    }
}

impl From<RaspException> for Standing {
    fn from(RaspException { metadata, spec, status }: RaspException) -> Self {
        Self { expires_at: spec.expires_at, ..Self::of(Kind::RaspException, metadata, status) }
    }
}
