//! Documents of every kind, read as strictly as [`super::parse`] reads RaspPolicies, and what they mean where there is no
//! cluster around them. Called by the gateway and by tests of examples.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Error, Metadata, dotted};
use crate::api::{
    API_VERSION, ClusterRaspPolicySpec, Kind, NEEDS_AN_END, RaspExceptionSpec, RaspPolicySpec,
    permanent_allowed,
};
use crate::bundle::{Entry, Source};
use crate::selector::LabelSelector;

/// A document of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Name and namespace.
    pub metadata: Metadata,
    /// What it asks for.
    pub spec: Spec,
}

/// The spec of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spec {
    /// Of a RaspPolicy.
    Policy(Box<RaspPolicySpec>),
    /// Of a ClusterRaspPolicy.
    Cluster(Box<ClusterRaspPolicySpec>),
    /// Of a RaspException.
    Exception(Box<RaspExceptionSpec>),
}

impl Spec {
    /// The kind of the document.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Policy(_) => Kind::RaspPolicy,
            Self::Cluster(_) => Kind::ClusterRaspPolicy,
            Self::Exception(_) => Kind::RaspException,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document<S> {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    metadata: Metadata,
    spec: S,
}

/// Reads every document of a YAML file. An empty document (only comments) is skipped.
pub fn read(yaml: &str) -> Result<Vec<Object>, Error> {
    let mut objects = Vec::new();
    for (index, raw) in serde_yaml::Deserializer::from_str(yaml).enumerate() {
        let index = index + 1;
        // Through JSON values, the form in which the API server sees the object.
        let value = serde_json::Value::deserialize(raw)
            .map_err(|error| Error::Parse { index, message: error.to_string() })?;
        if !value.is_null() {
            objects.push(object(index, &value)?);
        }
    }
    if objects.is_empty() { Err(Error::Empty) } else { Ok(objects) }
}

fn object(index: usize, value: &serde_json::Value) -> Result<Object, Error> {
    let text = |key: &str| value.get(key).and_then(serde_json::Value::as_str);
    let known = Kind::ALL.into_iter().find(|kind| text("kind") == Some(kind.as_str()));
    let known = known.filter(|_| text("apiVersion") == Some(API_VERSION));
    let wrong = |message| Error::Value { index, message };
    match known {
        Some(Kind::RaspPolicy) => {
            let Document { metadata, spec, .. } = document::<RaspPolicySpec>(index, Kind::RaspPolicy, value)?;
            spec.check().map_err(wrong)?;
            Ok(Object { metadata, spec: Spec::Policy(Box::new(spec)) })
        }
        Some(Kind::ClusterRaspPolicy) => {
            let Document { metadata, spec, .. } =
                document::<ClusterRaspPolicySpec>(index, Kind::ClusterRaspPolicy, value)?;
            spec.check().map_err(wrong)?;
            Ok(Object { metadata, spec: Spec::Cluster(Box::new(spec)) })
        }
        Some(Kind::RaspException) => {
            let Document { metadata, spec, .. } =
                document::<RaspExceptionSpec>(index, Kind::RaspException, value)?;
            spec.check().map_err(wrong)?;
            Ok(Object { metadata, spec: Spec::Exception(Box::new(spec)) })
        }
        None => {
            let (version, kind) =
                (text("apiVersion").unwrap_or("(no apiVersion)"), text("kind").unwrap_or("(no kind)"));
            Err(Error::Kind { index, found: format!("{version} {kind}") })
        }
    }
}

fn document<S: DeserializeOwned>(
    index: usize,
    kind: Kind,
    value: &serde_json::Value,
) -> Result<Document<S>, Error> {
    let mut unknown = None;
    let document = serde_ignored::deserialize(value, |path| {
        unknown.get_or_insert_with(|| dotted(&path));
    })
    .map_err(|error| Error::Parse { index, message: error.to_string() })?;
    match unknown {
        Some(path) => Err(Error::UnknownField { index, kind: kind.as_str().to_owned(), path }),
        None => Ok(document),
    }
}

/// Refuses rollouts by name, where nobody takes their steps.
pub fn refuse_rollouts(objects: &[Object]) -> Result<(), Error> {
    let rolls_out = |object: &Object| match &object.spec {
        Spec::Policy(spec) => spec.enforcement.as_ref().is_some_and(|share| share.rollout.is_some()),
        Spec::Cluster(_) | Spec::Exception(_) => false,
    };
    let Some(index) = objects.iter().position(rolls_out) else { return Ok(()) };
    let name = objects.get(index).map(|object| object.metadata.name.as_str()).unwrap_or_default();
    Err(Error::StandAlone {
        index: index + 1,
        name: format!("{} {name}", Kind::RaspPolicy.as_str()),
        message: "spec.enforcement.rollout needs an operator, and there is none here: set percent".to_owned(),
    })
}

/// The entries of a Bundle where there is no cluster: no namespaces, Services or workloads. The place in the file decides
/// where precedence asks for age. What cannot be meant here is refused by name.
pub fn stand_alone(objects: &[Object]) -> Result<Vec<Entry>, Error> {
    let clusters = objects.iter().filter_map(|object| match &object.spec {
        Spec::Cluster(spec) => Some(&**spec),
        _ => None,
    });
    let permanent = permanent_allowed(clusters);
    objects.iter().enumerate().map(|(index, object)| entry(index, object, permanent)).collect()
}

fn entry(index: usize, object: &Object, permanent: bool) -> Result<Entry, Error> {
    let Object { metadata: Metadata { name, .. }, spec } = object;
    let kind = spec.kind();
    let refused = |message: &str| {
        let name = format!("{} {name}", kind.as_str());
        Error::StandAlone { index: index + 1, name, message: message.to_owned() }
    };
    let (settings, origin) = match spec {
        Spec::Policy(spec) => ((**spec).clone(), None),
        Spec::Cluster(spec) => {
            let selects = |selector: &LabelSelector| *selector != LabelSelector::default();
            if spec.namespace_selector.as_ref().is_some_and(selects) {
                return Err(refused(
                    "spec.namespaceSelector selects namespaces, and there are none here: remove it",
                ));
            }
            let (origin, settings) = spec.settings().map_err(|message| refused(&message))?;
            (settings.clone(), Some(origin))
        }
        Spec::Exception(spec) => {
            if spec.expires_at.is_none() && !permanent {
                return Err(refused(NEEDS_AN_END));
            }
            (spec.policy(name), None)
        }
    };
    let mut settings = settings;
    if let Some(enforcement) = &mut settings.enforcement
        && let Some(rollout) = enforcement.rollout.take()
    {
        enforcement.percent = Some(rollout.percent(rollout.count())); // where it ends
    }
    if settings.target_refs.is_some() {
        return Err(refused(
            "spec.targetRefs names objects of a cluster, and there are none here: remove it",
        ));
    }
    let source =
        Source { name: name.clone(), uid: String::new(), generation: 0, created_at: format!("{index:08}") };
    Ok(Entry { kind, origin, ..Entry::policy(source, settings) })
}

#[cfg(test)]
mod tests {
    use super::{read, refuse_rollouts, stand_alone};
    use crate::api::Mode;
    use crate::bundle::{Bundle, Namespace, SCHEMA_VERSION};
    use crate::precedence::resolve;
    use crate::selector::Labels;

    fn yaml(documents: &[(&str, &str)]) -> String {
        let document = |(kind, spec): &(&str, &str)| {
            format!("---\napiVersion: rasp.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: a}}\nspec: {spec}\n")
        };
        documents.iter().map(document).collect()
    }

    #[test]
    fn every_kind_is_read_strictly() {
        let exception = "{rule: sqli-comment, reason: r, expiresAt: '2027-01-31T00:00:00Z'}";
        let table: [(&str, &str, &str); 8] = [
            ("RaspPolicy", "{mode: Block}", ""),
            ("ClusterRaspPolicy", "{overrides: {mode: Monitor}}", ""),
            ("RaspException", exception, ""),
            (
                "ClusterRaspPolicy",
                "{mode: Block}",
                "unknown field spec.mode; known fields are listed by `kubectl explain clusterrasppolicy.spec`",
            ),
            ("ClusterRaspPolicy", "{overrides: {mood: Block}}", "unknown field spec.overrides.mood"),
            ("RaspException", "{rule: a, reason: r, until: x}", "unknown field spec.until"),
            ("RaspException", "{reason: r}", "spec.rule and class are missing"),
            ("Raspberry", "{}", "is a rasp.dev/v1alpha1 Raspberry"),
        ];
        for (kind, spec, expected) in table {
            let said = read(&yaml(&[(kind, spec)])).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(
                said.contains(expected) && expected.is_empty() == said.is_empty(),
                "{kind} {spec}: {said}"
            );
        }
    }

    #[test]
    fn a_rollout_is_judged_where_it_ends_and_refused_where_nobody_takes_its_steps() {
        let spec = "{enforcement: {rollout: {steps: [5, 60], interval: 10m, abortOn: {errorRatio: 0}}}}";
        let objects = read(&yaml(&[("RaspPolicy", "{}"), ("RaspPolicy", spec)])).unwrap();
        let enforcement = stand_alone(&objects).unwrap().remove(1).spec.enforcement.unwrap();
        assert_eq!((enforcement.percent, enforcement.rollout), (Some(60), None));
        let said = refuse_rollouts(&objects).unwrap_err().to_string();
        assert_eq!(
            said,
            "document 2, RaspPolicy a: spec.enforcement.rollout needs an operator, and there is none here: set percent"
        );
        assert!(refuse_rollouts(&objects[..1]).is_ok());
    }

    #[test]
    fn what_needs_a_cluster_is_refused_by_name_and_the_rest_has_its_precedence() {
        let ending = "{rule: sqli-comment, reason: r, expiresAt: '2027-01-31T00:00:00Z'}";
        let table: [(&[(&str, &str)], &str); 6] = [
            (
                &[
                    ("RaspPolicy", "{mode: Block}"),
                    ("ClusterRaspPolicy", "{overrides: {mode: Monitor}}"),
                    ("RaspException", ending),
                ],
                "",
            ),
            (
                &[("RaspPolicy", "{targetRefs: [{kind: Service, name: a}]}")],
                "document 1, RaspPolicy a: spec.targetRefs",
            ),
            (
                &[("ClusterRaspPolicy", "{namespaceSelector: {matchLabels: {a: b}}, defaults: {}}")],
                "spec.namespaceSelector",
            ),
            (&[("ClusterRaspPolicy", "{namespaceSelector: {}, defaults: {}}")], ""),
            (&[("RaspException", "{rule: a, reason: r}")], "RaspException a: spec.expiresAt is missing"),
            (
                &[
                    ("RaspException", "{rule: a, reason: r}"),
                    ("ClusterRaspPolicy", "{defaults: {}, allowPermanentExceptions: true}"),
                ],
                "",
            ),
        ];
        for (documents, expected) in table {
            let entries = stand_alone(&read(&yaml(documents)).unwrap());
            let said = entries.as_ref().err().map(ToString::to_string).unwrap_or_default();
            assert!(
                said.contains(expected) && expected.is_empty() == said.is_empty(),
                "{documents:?}: {said}"
            );
        }
        let entries = stand_alone(&read(&yaml(table[0].0)).unwrap()).unwrap();
        let namespace = Namespace { name: String::new(), uid: String::new() };
        let bundle = Bundle { schema_version: SCHEMA_VERSION, namespace, sequence: 1, entries };
        let effective = resolve(&bundle, &Labels::new()).effective;
        assert_eq!(effective.mode, Mode::Monitor, "the override wins");
        assert_eq!(effective.exceptions[0].id, "RaspException/a");
    }
}
