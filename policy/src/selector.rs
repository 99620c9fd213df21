//! Label selectors with the meaning Kubernetes gives them, evaluated where the labels are: in the sidecar.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Labels of a pod.
pub type Labels = BTreeMap<String, String>;

/// A pod as policies select it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject<'a> {
    /// Its labels.
    pub labels: &'a Labels,
    /// `Kind/name` of its controller, as fixed at admission; empty where none is known.
    pub workload: &'a str,
}

impl<'a> From<&'a Labels> for Subject<'a> {
    fn from(labels: &'a Labels) -> Self {
        Self { labels, workload: "" }
    }
}

/// A label selector; `matchLabels` and `matchExpressions` must all hold. An empty selector selects every pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(
    feature = "crd",
    derive(kube::KubeSchema),
    x_kube(validation = (
        "!has(self.matchLabels) || self.matchLabels.all(key, size(key) <= 317)",
        "a label key has at most 317 characters: a prefix of 253, a slash, a name of 63"
    )),
    schemars(extend("x-kubernetes-map-type" = "atomic"))
)]
pub struct LabelSelector {
    /// Labels that must be there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "crd", schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 63})))]
    pub match_labels: BTreeMap<String, String>,
    /// Requirements that the labels must meet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "crd", schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic")))]
    pub match_expressions: Vec<Requirement>,
}

/// One requirement on a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "crd",
    derive(kube::KubeSchema),
    x_kube(validation = (
        "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values) || size(self.values) == 0",
        "In and NotIn need at least one value, Exists and DoesNotExist take none"
    ))
)]
pub struct Requirement {
    /// Label key.
    #[cfg_attr(
        feature = "crd",
        schemars(
            length(min = 1, max = 317),
            regex(pattern = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
        )
    )]
    pub key: String,
    /// How the label is compared with `values`.
    pub operator: Operator,
    /// Values for In and NotIn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "crd", schemars(length(max = 64), inner(length(max = 63)), extend("x-kubernetes-list-type" = "atomic")))]
    pub values: Vec<String>,
}

/// Operators of [`Requirement`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "crd", derive(schemars::JsonSchema))]
pub enum Operator {
    /// The label exists and its value is one of `values`.
    In,
    /// The label does not exist, or its value is none of `values`.
    NotIn,
    /// The label exists.
    Exists,
    /// The label does not exist.
    DoesNotExist,
}

impl LabelSelector {
    /// Whether a pod with these labels is selected.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| requirement.matches(labels))
    }
}

impl Requirement {
    fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LabelSelector, Labels};

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn selects_as_kubernetes_does() {
        let web = labels(&[("app", "web"), ("tier", "front")]);
        let bare = labels(&[]);
        let table = [
            // selector, selects app=web tier=front, selects a pod without labels
            (r"{}", true, true),
            (r"{matchLabels: {app: web}}", true, false),
            (r"{matchLabels: {app: web, tier: back}}", false, false),
            (r"{matchExpressions: [{key: app, operator: In, values: [web, api]}]}", true, false),
            (r"{matchExpressions: [{key: app, operator: In, values: [api]}]}", false, false),
            (r"{matchExpressions: [{key: app, operator: NotIn, values: [api]}]}", true, true),
            (r"{matchExpressions: [{key: app, operator: NotIn, values: [web]}]}", false, true),
            (r"{matchExpressions: [{key: tier, operator: Exists}]}", true, false),
            (r"{matchExpressions: [{key: tier, operator: DoesNotExist}]}", false, true),
            (
                r"{matchLabels: {app: web}, matchExpressions: [{key: tier, operator: DoesNotExist}]}",
                false,
                false,
            ),
        ];
        for (yaml, on_web, on_bare) in table {
            let selector: LabelSelector = serde_yaml::from_str(yaml).unwrap();
            assert_eq!((selector.matches(&web), selector.matches(&bare)), (on_web, on_bare), "{yaml}");
        }
    }
}
