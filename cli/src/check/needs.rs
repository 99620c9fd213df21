//! Which rights installing and running kube-rasp takes: read from the manifests of this version, so that the list cannot
//! differ from what is granted. Pure.

use kube::api::{ApiResource, GroupVersionKind};
use serde::Deserialize as _;
use serde_json::Value;

use crate::fleet::text;

/// What is installed, with the namespace kube-rasp.
const INSTALL: &str = include_str!("../../../manifests/install.yaml");
/// The CustomResourceDefinitions.
const CRDS: &str = include_str!("../../../manifests/crds.yaml");
/// Name of the roles and of the service account of the operator.
pub const OPERATOR: &str = "kube-rasp-operator";

/// One thing that has to be allowed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// API group.
    pub group: String,
    /// Plural of the kind.
    pub resource: String,
    /// `status` and the like.
    pub subresource: Option<String>,
    /// The one object it is about.
    pub name: Option<String>,
    /// What is done.
    pub verb: String,
    /// Where; everywhere where it is absent.
    pub namespace: Option<String>,
}

impl std::fmt::Display for Need {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        self.subresource.iter().try_for_each(|subresource| write!(f, "/{subresource}"))?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        self.name.iter().try_for_each(|name| write!(f, " {name}"))?;
        self.namespace.iter().try_for_each(|namespace| write!(f, " in {namespace}"))
    }
}

/// The CustomResourceDefinitions of this version.
pub fn crds() -> Vec<Value> {
    documents(CRDS)
}

/// Names of the ValidatingAdmissionPolicies of this version.
pub fn guard_rails() -> Vec<String> {
    let policies =
        documents(INSTALL).into_iter().filter(|object| text(object, "/kind") == "ValidatingAdmissionPolicy");
    policies.map(|policy| text(&policy, "/metadata/name").to_owned()).collect()
}

/// What the operator needs, when it runs in this namespace.
pub fn of_operator(namespace: &str) -> Vec<Need> {
    let mut needs = Vec::new();
    for role in documents(INSTALL) {
        let place = match text(&role, "/kind") {
            "ClusterRole" => None,
            "Role" => Some(namespace),
            _ => continue,
        };
        if text(&role, "/metadata/name") == OPERATOR {
            let rules = role.get("rules").and_then(Value::as_array);
            needs.extend(rules.into_iter().flatten().flat_map(|rule| of_rule(rule, place)));
        }
    }
    needs.sort();
    needs.dedup();
    needs
}

/// What it takes to make every object of the manifests.
pub fn of_installer(namespace: &str) -> Vec<Need> {
    let mut needs: Vec<Need> = documents(CRDS)
        .iter()
        .chain(&documents(INSTALL))
        .flat_map(|object| {
            let (group, version) = text(object, "/apiVersion").split_once('/').unwrap_or(("", "v1"));
            let kind = GroupVersionKind::gvk(group, version, text(object, "/kind"));
            let resource = ApiResource::from_gvk(&kind).plural;
            let place = object.pointer("/metadata/namespace").map(|_| namespace.to_owned());
            ["create", "get", "patch"].map(|verb| Need {
                group: group.to_owned(),
                resource: resource.clone(),
                subresource: None,
                name: None,
                verb: verb.to_owned(),
                namespace: place.clone(),
            })
        })
        .collect();
    needs.sort();
    needs.dedup();
    needs
}

/// Whoever has it may grant what he has not got himself.
pub fn escalate() -> Need {
    Need {
        group: "rbac.authorization.k8s.io".to_owned(),
        resource: "clusterroles".to_owned(),
        subresource: None,
        name: None,
        verb: "escalate".to_owned(),
        namespace: None,
    }
}

fn of_rule(rule: &Value, namespace: Option<&str>) -> Vec<Need> {
    let list = |key: &str| -> Vec<String> {
        let list = rule.get(key).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).map(ToOwned::to_owned).collect()
    };
    let names: Vec<Option<String>> = match list("resourceNames") {
        names if names.is_empty() => vec![None],
        names => names.into_iter().map(Some).collect(),
    };
    let mut needs = Vec::new();
    for group in list("apiGroups") {
        for resource in list("resources") {
            let (resource, subresource) = match resource.split_once('/') {
                Some((resource, subresource)) => (resource.to_owned(), Some(subresource.to_owned())),
                None => (resource, None),
            };
            for name in &names {
                needs.extend(list("verbs").into_iter().map(|verb| Need {
                    group: group.clone(),
                    resource: resource.clone(),
                    subresource: subresource.clone(),
                    name: name.clone(),
                    verb,
                    namespace: namespace.map(ToOwned::to_owned),
                }));
            }
        }
    }
    needs
}

fn documents(yaml: &str) -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_str(yaml).map(Value::deserialize);
    documents.filter_map(Result::ok).filter(|document| !document.is_null()).collect()
}

#[cfg(test)]
mod tests {
    use super::{crds, of_installer, of_operator};

    #[test]
    fn what_the_roles_of_the_chart_grant_is_what_the_operator_needs() {
        let needs: Vec<String> = of_operator("rasp").iter().map(ToString::to_string).collect();
        for expected in [
            "list pods",
            "patch rasppolicies/status.rasp.dev",
            "create tokenreviews.authentication.k8s.io",
            "patch mutatingwebhookconfigurations.admissionregistration.k8s.io kube-rasp-injector",
            "create secrets in rasp",
            "update leases.coordination.k8s.io kube-rasp-operator in rasp",
        ] {
            assert!(needs.iter().any(|need| need == expected), "{expected}: {needs:#?}");
        }
        assert!(needs.iter().all(|need| !need.contains("kube-rasp in")), "{needs:#?}");
    }

    #[test]
    fn the_installer_makes_every_kind_of_the_manifests() {
        let needs: Vec<String> = of_installer("rasp").iter().map(ToString::to_string).collect();
        for expected in [
            "create customresourcedefinitions.apiextensions.k8s.io",
            "create namespaces",
            "create deployments.apps in rasp",
            "patch clusterroles.rbac.authorization.k8s.io",
            "create poddisruptionbudgets.policy in rasp",
            "create mutatingwebhookconfigurations.admissionregistration.k8s.io",
        ] {
            assert!(needs.iter().any(|need| need == expected), "{expected}: {needs:#?}");
        }
        assert!(!crds().is_empty());
    }
}
