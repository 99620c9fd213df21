//! What is in force for a pod: the Bundle that its sidecar reads, resolved by the code that the sidecar resolves it with. The
//! signature is checked as a sidecar does it, so that a forged ConfigMap is not explained as a policy.
//! Called by [`crate::explain`].

use anyhow::{Context as _, ensure};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use rasp_operator::inject::Settings;
use rasp_policy::bundle::{Bundle, Envelope, digest};
use rasp_policy::class::Class;
use rasp_policy::pod::{BUNDLE_CONFIG_MAP, BUNDLE_KEY};
use rasp_policy::precedence::{Effective, Field, Resolution, resolve};
use rasp_policy::selector::Labels;
use serde::Serialize;

/// The Bundle of a namespace.
pub struct InForce {
    /// What it holds.
    pub bundle: Bundle,
    /// Digest of its bytes, as events and status have it.
    pub digest: String,
    /// Whether the signature was checked; it is not where the keys are not visible.
    pub verified: bool,
}

/// Who decided a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// The field, by its path in the object.
    pub field: String,
    /// Its value.
    pub value: String,
    /// `Kind name`; several decide a list. None: it is built in.
    pub by: Vec<String>,
    /// `Kind name` of the policies that select the pod, set the field, and lost.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub over: Vec<String>,
}

/// Reads the Bundle of a namespace.
pub async fn fetch(client: &Client, namespace: &str, settings: Option<&Settings>) -> anyhow::Result<InForce> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let name = format!("ConfigMap {namespace}/{BUNDLE_CONFIG_MAP}");
    let map = api.get(BUNDLE_CONFIG_MAP).await.map_err(|error| {
        anyhow::anyhow!(
            "cannot read {name}, which the operator writes where a namespace is protected: {}",
            crate::cluster::text(&error)
        )
    })?;
    let text = map.data.as_ref().and_then(|data| data.get(BUNDLE_KEY));
    open(text.with_context(|| format!("{name} has no {BUNDLE_KEY}"))?, settings).context(name)
}

fn open(text: &str, settings: Option<&Settings>) -> anyhow::Result<InForce> {
    let keys: Vec<Vec<u8>> = settings
        .iter()
        .flat_map(|settings| &settings.public_keys)
        .filter_map(|key| BASE64.decode(key).ok())
        .collect();
    let is_signed = |message: &[u8], signature: &[u8]| {
        keys.iter().any(|key| UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok())
    };
    let verified = settings.is_some();
    let payload =
        Envelope::open(text.as_bytes(), |_, message, signature| !verified || is_signed(message, signature))?;
    Ok(InForce { bundle: Bundle::from_verified(&payload)?, digest: digest(&payload), verified })
}

impl InForce {
    /// The fields for a pod with these labels, and who decided each.
    pub fn explain(&self, labels: &Labels) -> Vec<Decided> {
        let resolution = resolve(&self.bundle, labels);
        let alone: Vec<(usize, Vec<Field>)> =
            resolution.selected.iter().map(|&(_, index)| (index, self.sets(index, labels))).collect();
        Field::all()
            .map(|field| {
                let by = winners(&resolution, field);
                let sets = alone.iter().filter(|(_, fields)| fields.contains(&field));
                let over = sets.map(|(index, _)| *index).filter(|index| !by.contains(index));
                Decided {
                    field: field.path().into_owned(),
                    value: value(&resolution.effective, field),
                    over: over.map(|index| self.source(index)).collect(),
                    by: by.into_iter().map(|index| self.source(index)).collect(),
                }
            })
            .collect()
    }

    /// The policies that select a pod with these labels, highest precedence first.
    pub fn selected(&self, labels: &Labels) -> Vec<String> {
        resolve(&self.bundle, labels).selected.into_iter().map(|(_, index)| self.source(index)).collect()
    }

    /// The fields that decide when a policy stands alone.
    fn sets(&self, index: usize, labels: &Labels) -> Vec<Field> {
        let entries = self.bundle.entries.iter().skip(index).take(1).cloned().collect();
        let alone = Bundle { entries, ..self.bundle.clone() };
        resolve(&alone, labels).winners.into_iter().map(|(field, _)| field).collect()
    }

    fn source(&self, index: usize) -> String {
        let entry = self.bundle.entries.get(index);
        entry.map_or_else(String::new, |entry| format!("{} {}", entry.kind.as_str(), entry.source.name))
    }
}

/// The fields that decide what is done about a finding of a class, or about a request that is refused for another reason.
pub fn deciding(class: Option<Class>, rule: &str) -> Vec<Field> {
    match (class, rule) {
        (Some(class), _) => vec![Field::Mode, Field::ClassMode(class), Field::ClassMinConfidence(class)],
        (None, "body_too_large") => vec![Field::Mode, Field::MaxBodyBytes],
        (None, "not_judged") => vec![Field::Mode, Field::FailureMode],
        _ => Vec::new(),
    }
}

fn winners(resolution: &Resolution, field: Field) -> Vec<usize> {
    let won = resolution.winners.iter().filter(|(won, _)| *won == field);
    won.map(|(_, index)| *index).collect()
}

fn value(effective: &Effective, field: Field) -> String {
    let bound =
        |bound: Option<usize>| bound.map_or_else(|| "as many as can be".to_owned(), |n| n.to_string());
    match field {
        Field::Mode => effective.mode.as_str().to_owned(),
        Field::FailureMode => format!("{:?}", effective.failure_mode),
        Field::ClassMode(class) => effective.detection(class).mode.as_str().to_owned(),
        Field::ClassMinConfidence(class) => effective.detection(class).min_confidence.as_str().to_owned(),
        Field::MaxBodyBytes => effective.max_body_bytes.to_string(),
        Field::MaxDepth => effective.max_depth.to_string(),
        Field::MaxValues => bound(effective.max_values),
        Field::MaxMultipartParts => effective.max_multipart_parts.to_string(),
        Field::MaxDecompressionRatio => effective.max_decompression_ratio.to_string(),
        Field::MaxDecompressedBytes => bound(effective.max_decompressed_bytes),
        Field::RawTarget => format!("{:?}", effective.raw_target),
        Field::ResponseStatus => effective.response_status.to_string(),
        Field::ResponseBody => effective.response_body.as_ref().map_or_else(
            || "problem document".to_owned(),
            |body| format!("{} bytes of {}", body.text.len(), body.content_type),
        ),
        Field::Exceptions => list(effective.exceptions.iter().map(|exception| exception.id.as_str())),
        Field::Signatures => list(effective.signatures.iter().map(|signature| signature.id.as_str())),
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// A name of a pod as users write it: `pod/web`, `pods/web`, `web`.
pub fn pod_name(text: &str) -> anyhow::Result<&str> {
    let name = text.strip_prefix("pod/").or_else(|| text.strip_prefix("pods/")).unwrap_or(text);
    ensure!(!name.is_empty() && !name.contains('/'), "{text} is no pod: write pod/NAME");
    Ok(name)
}

#[cfg(test)]
mod tests {
    use rasp_operator::signing::Key;
    use rasp_policy::bundle::{Bundle, Entry, Namespace, SCHEMA_VERSION, Source};
    use rasp_policy::selector::Labels;

    use super::{InForce, open, pod_name};

    fn bundle(specs: &[(&str, &str)]) -> Bundle {
        let entries = specs.iter().map(|(name, spec)| {
            let source = Source {
                name: (*name).to_owned(),
                uid: (*name).to_owned(),
                generation: 1,
                created_at: "2026-11-26T00:00:00Z".to_owned(),
            };
            Entry::policy(source, serde_yaml::from_str(spec).unwrap())
        });
        Bundle {
            schema_version: SCHEMA_VERSION,
            namespace: Namespace { name: "shop".to_owned(), uid: "u".to_owned() },
            sequence: 1,
            entries: entries.collect(),
        }
    }

    #[test]
    fn each_field_has_its_winner_and_its_losers() {
        let bundle = bundle(&[
            ("all", "{mode: Block, response: {status: 404}}"),
            (
                "front",
                "{podSelector: {matchLabels: {app: front}}, mode: Monitor, detections: {sqlInjection: {mode: Block}}}",
            ),
            ("other", "{podSelector: {matchLabels: {app: other}}, mode: \"Off\"}"),
        ]);
        let in_force = InForce { bundle, digest: String::new(), verified: true };
        let labels = Labels::from([("app".to_owned(), "front".to_owned())]);
        assert_eq!(in_force.selected(&labels), ["RaspPolicy front", "RaspPolicy all"]);
        let explained = in_force.explain(&labels);
        let row = |field: &str| {
            let row = explained.iter().find(|row| row.field == field).unwrap();
            format!("{} by {:?} over {:?}", row.value, row.by, row.over)
        };
        assert_eq!(row("spec.mode"), r#"Monitor by ["RaspPolicy front"] over ["RaspPolicy all"]"#);
        assert_eq!(row("spec.detections.sqlInjection.mode"), r#"Block by ["RaspPolicy front"] over []"#);
        assert_eq!(row("spec.detections.crossSiteScripting.mode"), "Monitor by [] over []");
        assert_eq!(row("spec.response.status"), r#"404 by ["RaspPolicy all"] over []"#);
        assert_eq!(row("spec.failureMode"), "Open by [] over []");
    }

    #[test]
    fn a_bundle_that_another_key_has_signed_is_not_explained() {
        let (key, other) = (Key::generate().unwrap(), Key::generate().unwrap());
        let (text, digest) = key.seal(&bundle(&[("all", "{mode: Block}")]));
        let settings = |key: &Key| crate::fleet::tests::settings_with_key(key.public_base64());
        let opened = open(&text, Some(&settings(&key))).unwrap();
        assert!(opened.verified && opened.digest == digest);
        assert!(open(&text, Some(&settings(&other))).is_err());
        assert!(!open(&text, None).unwrap().verified);
    }

    #[test]
    fn pods_are_named_as_kubectl_does() {
        for (text, name) in [("pod/web", "web"), ("pods/web", "web"), ("web", "web")] {
            assert_eq!(pod_name(text).unwrap(), name);
        }
        assert!(pod_name("deployment/web").is_err());
    }
}
