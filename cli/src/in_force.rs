//! What is in force for a pod: the Bundle that its sidecar reads, explained by the code that the sidecar resolves it with. The
//! signature is checked as a sidecar does it, so that a forged ConfigMap is not explained as a policy. The keys are those of
//! today, which sidecars of before a rotation follow. Called by [`crate::explain`] and
//! [`crate::rollback`].

use anyhow::{Context as _, ensure};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{Api, Client};
use rasp_operator::inject::Settings;
use rasp_policy::api::Enforcement;
use rasp_policy::bundle::{Bundle, Envelope, digest};
use rasp_policy::class::Class;
use rasp_policy::pod::{BUNDLE_CONFIG_MAP, BUNDLE_KEY, PROXY_CONTAINER, env};
use rasp_policy::precedence::{
    Decider, Effective, Explained, Explanation, Field, explain, ports, resolve_at,
};
use rasp_policy::selector::{Labels, Subject};
use rasp_policy::share::Share;
use serde_json::{Value, json};

/// The Bundle of a namespace.
#[derive(Clone, Debug)]
pub struct InForce {
    /// What it holds.
    pub bundle: Bundle,
    /// Digest of its bytes, as events and status have it.
    pub digest: String,
    /// Whether the signature was checked; it is not where the keys are not visible.
    pub verified: bool,
}

/// A pod as its sidecar says to policies who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// Its labels.
    pub labels: Labels,
    /// `Kind/name` of its controller, as injection fixed it; empty where it has no sidecar.
    pub workload: String,
}

impl Who {
    /// Reads a pod.
    pub fn of(pod: &Pod) -> Self {
        let lists = pod
            .spec
            .iter()
            .map(|spec| (spec.init_containers.as_deref().unwrap_or_default(), &spec.containers));
        let sidecar = lists
            .flat_map(|(init, containers)| init.iter().chain(containers))
            .find(|container| container.name == PROXY_CONTAINER);
        let variables = sidecar.iter().filter_map(|sidecar| sidecar.env.as_ref()).flatten();
        let workload = variables
            .filter(|variable| variable.name == env::WORKLOAD)
            .find_map(|variable| variable.value.clone());
        Self {
            labels: pod.metadata.labels.clone().unwrap_or_default(),
            workload: workload.unwrap_or_default(),
        }
    }

    fn subject(&self) -> Subject<'_> {
        Subject { labels: &self.labels, workload: &self.workload }
    }
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
    open(text.with_context(|| format!("{name} has no {BUNDLE_KEY}"))?, namespace, settings).context(name)
}

fn open(text: &str, namespace: &str, settings: Option<&Settings>) -> anyhow::Result<InForce> {
    let is_signed = settings.map(signed_by);
    let verified = settings.is_some();
    let payload = Envelope::open(text.as_bytes(), |_, message, signature| {
        is_signed.as_ref().is_none_or(|is_signed| is_signed(message, signature))
    })?;
    let bundle = Bundle::from_verified(&payload)?;
    ensure!(
        bundle.namespace.name == namespace,
        "it is a Bundle of namespace {}, which sidecars refuse here",
        crate::print::plain(&bundle.namespace.name)
    );
    Ok(InForce { bundle, digest: digest(&payload), verified })
}

/// Whether one of the operator's keys has signed a message.
pub fn signed_by(settings: &Settings) -> impl Fn(&[u8], &[u8]) -> bool + use<> {
    let keys: Vec<Vec<u8>> = settings.public_keys.iter().filter_map(|key| BASE64.decode(key).ok()).collect();
    move |message, signature| {
        keys.iter().any(|key| UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok())
    }
}

impl InForce {
    /// What is in force for a pod on every port that no policy names, and then on each port where something else is.
    pub fn explain(&self, pod: &Who) -> Vec<Explanation> {
        let subject = pod.subject();
        let everywhere = explain(&self.bundle, subject, None);
        let named = ports(&self.bundle, subject).into_iter();
        let mut all: Vec<Explanation> = named
            .map(|port| explain(&self.bundle, subject, Some(port)))
            .filter(|here| here.fields != everywhere.fields)
            .collect();
        all.insert(0, everywhere);
        all
    }

    /// What is in force for what arrives at one port of a pod.
    pub fn explain_at(&self, pod: &Who, port: Option<u16>) -> Explanation {
        let subject = pod.subject();
        let named = ports(&self.bundle, subject);
        explain(&self.bundle, subject, port.filter(|port| named.contains(port)))
    }

    /// The policies that are for a pod at a port, highest precedence first.
    pub fn selected(&self, pod: &Who, port: Option<u16>) -> Vec<String> {
        let selected = resolve_at(&self.bundle, pod.subject(), port).selected;
        let entries = selected.into_iter().filter_map(|(_, index)| self.bundle.entries.get(index));
        entries.map(|entry| entry.title(&self.bundle.namespace.name)).collect()
    }
}

/// The fields that decide what is done about a finding of a class, or about a request that is refused for another reason.
pub fn deciding(class: Option<Class>, rule: &str) -> Vec<Field> {
    match (class, rule) {
        (Some(class), _) => {
            vec![Field::Mode, Field::Enforcement, Field::ClassMode(class), Field::ClassMinConfidence(class)]
        }
        (None, "body_too_large") => vec![Field::Mode, Field::Enforcement, Field::MaxBodyBytes],
        (None, "not_judged") => vec![Field::Mode, Field::Enforcement, Field::FailureMode],
        _ => Vec::new(),
    }
}

/// A field of an explanation. One of a class about which no policy says anything is not in it: its mode follows the mode in
/// force.
pub fn field(explanation: &Explanation, field: Field) -> Option<Explained> {
    let of = |path: &str| explanation.fields.iter().find(|known| known.field == path).cloned();
    let path = field.path();
    let value = match field {
        Field::ClassMode(_) => of(&Field::Mode.path()).map(|mode| mode.value),
        Field::ClassMinConfidence(class) => Some(json!(Effective::builtin().detection(class).min_confidence)),
        _ => None,
    };
    let builtin = |value| Explained {
        field: path.clone().into_owned(),
        value,
        decided_by: Vec::new(),
        overridden: Vec::new(),
    };
    of(&path).or_else(|| value.map(builtin))
}

/// Who decided a field, for people.
pub fn deciders(field: &Explained) -> String {
    if field.decided_by.is_empty() {
        return "built-in".to_owned();
    }
    // Where the keys are not visible nobody has checked who wrote these names.
    crate::print::plain(&field.decided_by.iter().map(title).collect::<Vec<_>>().join(", "))
}

/// Who lost, and what they say.
pub fn losers(field: &Explained) -> String {
    let one = |decider: &Decider| format!("{}: {}", title(decider), text(&field.field, &decider.value));
    field.overridden.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn title(decider: &Decider) -> String {
    let Decider { kind, namespace, name, level, .. } = decider;
    let namespace = namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    format!("{} {namespace}{name} ({})", kind.as_str(), level.as_str())
}

/// A value in one line. Lists of a policy are told by what is in them, and the body of an answer by its length.
pub fn text(field: &str, value: &Value) -> String {
    let is_body = field == Field::ResponseBody.path();
    match value {
        _ if field == Field::Enforcement.path() => share(value),
        Value::Null if is_body => "problem document".to_owned(),
        Value::Null => "as many as can be".to_owned(),
        Value::String(body) if is_body => format!("{} bytes", body.len()),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(item).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Overrides that block and say no share are for all requests.
fn share(value: &Value) -> String {
    let written: Option<Enforcement> = serde_json::from_value(value.clone()).ok().flatten();
    written.map_or(Share::ALL, |written| Share::of(&written, "")).to_string()
}

fn item(item: &Value) -> String {
    let named = item.as_str().or_else(|| item.get("name").or_else(|| item.get("id"))?.as_str());
    named.map_or_else(|| item.to_string(), ToOwned::to_owned)
}

/// A name of a pod as users write it: `pod/web`, `pods/web`, `web`.
pub fn pod_name(text: &str) -> anyhow::Result<&str> {
    let name = text.strip_prefix("pod/").or_else(|| text.strip_prefix("pods/")).unwrap_or(text);
    ensure!(!name.is_empty() && !name.contains('/'), "{text} is no pod: write pod/NAME");
    Ok(name)
}

#[cfg(test)]
pub(crate) mod tests;
