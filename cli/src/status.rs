//! `raspctl status`: who is protected, under which policies, by which versions. Reads, and shows what the operator and the
//! objects say; nothing is guessed. Exit code 0 whenever it could be read.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::ApiResource;
use kube::{Api, Client};
use rasp_policy::api::Kind;
use rasp_policy::bundle::{Bundle, Envelope, digest};
use rasp_policy::pod::{BUNDLE_CONFIG_MAP, BUNDLE_KEY, Interception};
use rasp_policy::report::EffectiveMode;
use serde::Serialize;
use serde_json::Value;

use crate::cluster::{self, Cluster, list, text, values};
use crate::fleet::{self, State};
use crate::standing::{self, Standing, scoped};
use crate::{args, check, print};

mod policies;
use policies::PolicyStatus;

/// Everything, as programs read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    namespaces: Vec<NamespaceStatus>,
    /// With `-n`: those that are for this namespace.
    cluster_policies: Vec<PolicyStatus>,
    /// What could not be seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_visible: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NamespaceStatus {
    namespace: String,
    /// `rasp.dev/inject`; `-` where there is none.
    label: String,
    /// The webhook leaves it alone by its name.
    excluded: bool,
    protected: usize,
    /// Of all that have a sidecar: those without packet rules, which can be reached around it.
    interception_none: usize,
    outdated: usize,
    unprotected: usize,
    /// What the sidecars report, over the policies of the namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<EffectiveMode>,
    /// Digest of the Bundle that its sidecars are to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// Sequence of that Bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    /// Images of sidecars, and how many pods run each.
    sidecars: BTreeMap<String, usize>,
    /// Pods that are not protected as they are to be.
    pods: Vec<PodStatus>,
    policies: Vec<PolicyStatus>,
    exceptions: Vec<PolicyStatus>,
}

#[derive(Debug, Serialize)]
struct PodStatus {
    pod: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    interception: Option<Interception>,
    #[serde(flatten)]
    state: State,
}

/// Looks and tells.
pub fn run(args: &args::Status, out: &mut dyn Write) -> anyhow::Result<bool> {
    let status = cluster::with(&args.connection, async |cluster| look(&cluster, args).await)?;
    if !print::document(out, args.output, &status)? {
        tell(out, &status)?;
    }
    Ok(true)
}

async fn look(cluster: &Cluster, args: &args::Status) -> anyhow::Result<Status> {
    let client = &cluster.client;
    let only = args.namespace.as_deref().filter(|_| !args.all_namespaces);
    let mut not_visible = Vec::new();
    let namespaces = match only {
        Some(name) => vec![namespace(client, name).await?],
        None => values::<Namespace>(client, None)
            .await
            .map_err(|error| anyhow::anyhow!("cannot list namespaces: {error}; name one: -n NAMESPACE"))?,
    };
    let pods = values::<Pod>(client, only).await.map_err(anyhow::Error::msg).context("cannot list pods")?;
    let mut seen = |what: &str, error: String| not_visible.push(format!("{what}: {error}"));
    let settings = cluster::settings(client, &args.operator_namespace).await;
    let settings = settings.map_err(|error| seen("settings of injection", format!("{error:#}"))).ok();
    let webhooks = cluster::get(&Api::all(client.clone()), check::WEBHOOKS).await;
    let webhooks = webhooks.map_err(|error| seen("webhook configuration", error)).ok().flatten();
    let excluded = check::excluded(webhooks.as_ref());
    let found = standing::fetch(client, only).await;
    found.unseen.into_iter().for_each(|error| seen("policies", error));
    let standings = found.all;
    let bundles: Vec<ConfigMap> =
        match list(&scoped(client, only), &format!("metadata.name={BUNDLE_CONFIG_MAP}")).await {
            Ok(bundles) => bundles,
            Err(error) => {
                seen("Bundles", error);
                Vec::new()
            }
        };
    let is_excluded = |name: &str| check::is_excluded(&excluded, name);
    let mut sorted = fleet::sort(&namespaces, &pods, settings.as_ref(), is_excluded);
    // A policy in a namespace that asks for nothing is worth being seen.
    for name in standings.iter().filter_map(|policy| policy.namespace.as_deref()) {
        let object = namespaces.iter().find(|object| fleet::text(object, "/metadata/name") == name);
        if let (Some(object), true) = (object, sorted.iter().all(|known| known.name != name)) {
            sorted.push(fleet::without_pods(object, is_excluded(name)));
        }
    }
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let labels =
        only.and_then(|_| namespaces.first()).map(|object| fleet::without_pods(object, false).labels);
    let cluster_policies = standings.iter().filter(|policy| {
        policy.kind == Kind::ClusterRaspPolicy && labels.as_ref().is_none_or(|labels| policy.is_for(labels))
    });
    let cluster_policies = cluster_policies.map(PolicyStatus::of).collect();
    let namespaces = sorted.iter().map(|namespace| summary(namespace, &standings, &bundles)).collect();
    Ok(Status { namespaces, cluster_policies, not_visible })
}

/// A namespace by its name.
async fn namespace(client: &Client, name: &str) -> anyhow::Result<Value> {
    let kind = ApiResource::erase::<Namespace>(&());
    let api: Api<kube::api::DynamicObject> = Api::all_with(client.clone(), &kind);
    let object = api.get(name).await.map_err(|error| anyhow::anyhow!("{}", text(&error)))?;
    Ok(serde_json::to_value(object)?)
}

fn summary(namespace: &fleet::Namespace, standings: &[Standing], bundles: &[ConfigMap]) -> NamespaceStatus {
    let count = |wanted: fn(&State) -> bool| namespace.names(wanted).len();
    let mut sidecars = BTreeMap::new();
    for image in namespace.pods.iter().filter_map(|pod| pod.image.clone()) {
        *sidecars.entry(image).or_default() += 1;
    }
    let is_here = |metadata: &kube::api::ObjectMeta| metadata.namespace.as_deref() == Some(&namespace.name);
    let of_kind = |kind: Kind| -> Vec<PolicyStatus> {
        let here = standings.iter().filter(|policy| policy.namespace.as_deref() == Some(&namespace.name));
        here.filter(|policy| policy.kind == kind).map(PolicyStatus::of).collect()
    };
    let policies = of_kind(Kind::RaspPolicy);
    let observed = policies.iter().filter_map(|policy| policy.observed);
    let observed: Vec<_> = observed.filter(|mode| *mode != EffectiveMode::Unknown).collect();
    let bundle = bundles.iter().find(|map| is_here(&map.metadata)).and_then(digest_of);
    let (digest, sequence) = bundle.unzip();
    NamespaceStatus {
        namespace: namespace.name.clone(),
        label: namespace.label().to_owned(),
        excluded: namespace.excluded,
        protected: count(|state| matches!(state, State::Protected)),
        interception_none: namespace.pods.iter().filter(|pod| pod.is_weaker()).count(),
        outdated: count(|state| matches!(state, State::Outdated { .. })),
        unprotected: count(|state| !state.has_sidecar()),
        mode: (!observed.is_empty()).then(|| EffectiveMode::combine(observed)),
        digest,
        sequence: sequence.flatten(),
        sidecars,
        pods: namespace
            .pods
            .iter()
            .filter(|pod| pod.state != State::Protected || pod.is_weaker())
            .map(|pod| PodStatus {
                pod: pod.name.clone(),
                interception: pod.interception,
                state: pod.state.clone(),
            })
            .collect(),
        policies,
        exceptions: of_kind(Kind::RaspException),
    }
}

/// Whoever may write the ConfigMap could put anything there: this is what stands in it, and sidecars check the signature.
fn digest_of(map: &ConfigMap) -> Option<(String, Option<u64>)> {
    let text = map.data.as_ref()?.get(BUNDLE_KEY)?;
    let payload = Envelope::open(text.as_bytes(), |_, _, _| true).ok()?;
    Some((digest(&payload), Bundle::from_verified(&payload).ok().map(|bundle| bundle.sequence)))
}

fn tell(out: &mut dyn Write, status: &Status) -> std::io::Result<()> {
    const HEAD: [&str; 9] = [
        "NAMESPACE",
        "LABEL",
        "PROTECTED",
        "WEAKER",
        "OUTDATED",
        "UNPROTECTED",
        "MODE",
        "DIGEST",
        "SIDECARS",
    ];
    let rows: Vec<Vec<String>> = status.namespaces.iter().map(row).collect();
    if rows.is_empty() {
        writeln!(out, "No namespace asks for protection, and there is no policy.")?;
    } else {
        print::table(out, &HEAD, &rows)?;
    }
    let policies = status.namespaces.iter().flat_map(|namespace| &namespace.policies);
    let policies: Vec<_> = status.cluster_policies.iter().chain(policies).map(PolicyStatus::row).collect();
    if !policies.is_empty() {
        writeln!(out)?;
        print::table(out, &policies::POLICY, &policies)?;
    }
    let exceptions = status.namespaces.iter().flat_map(|namespace| &namespace.exceptions);
    let exceptions: Vec<_> = exceptions.map(PolicyStatus::exception_row).collect();
    if !exceptions.is_empty() {
        writeln!(out)?;
        print::table(out, &policies::EXCEPTION, &exceptions)?;
    }
    let here =
        status.namespaces.iter().flat_map(|namespace| namespace.policies.iter().chain(&namespace.exceptions));
    let faults: Vec<_> =
        status.cluster_policies.iter().chain(here).flat_map(PolicyStatus::fault_rows).collect();
    if !faults.is_empty() {
        writeln!(out)?;
        print::table(out, &policies::FAULT, &faults)?;
    }
    let pods: Vec<Vec<String>> = status.namespaces.iter().flat_map(pod_rows).collect();
    if !pods.is_empty() {
        writeln!(out)?;
        print::table(out, &["POD", "STATE", "WHY"], &pods)?;
    }
    status.not_visible.iter().try_for_each(|text| writeln!(out, "not visible: {}", print::plain(text)))
}

fn row(namespace: &NamespaceStatus) -> Vec<String> {
    let sidecars: Vec<String> = namespace
        .sidecars
        .iter()
        .map(|(image, count)| format!("{count} x {}", print::plain(image)))
        .collect();
    let label =
        if namespace.excluded { format!("{} (excluded)", namespace.label) } else { namespace.label.clone() };
    vec![
        namespace.namespace.clone(),
        print::plain(&label),
        namespace.protected.to_string(),
        namespace.interception_none.to_string(),
        namespace.outdated.to_string(),
        namespace.unprotected.to_string(),
        namespace.mode.map_or("-", EffectiveMode::as_str).to_owned(),
        short(namespace.digest.as_deref()),
        if sidecars.is_empty() { "-".to_owned() } else { sidecars.join(", ") },
    ]
}

const WEAKER: &str = "interception None: who dials a port of the application itself goes around the sidecar";

fn pod_rows(namespace: &NamespaceStatus) -> Vec<Vec<String>> {
    let rows = namespace.pods.iter().map(|pod| {
        let is_weaker = pod.interception == Some(Interception::None);
        let (state, why) = match &pod.state {
            State::Protected if is_weaker => ("weaker", WEAKER.to_owned()),
            State::Protected => ("protected", String::new()),
            State::Outdated { difference } if is_weaker => {
                ("outdated", format!("differs from what is injected now: {difference}; {WEAKER}"))
            }
            State::Outdated { difference } => {
                ("outdated", format!("differs from what is injected now: {difference}"))
            }
            State::Unprotected { reason, message } => ("UNPROTECTED", format!("{reason}: {message}")),
        };
        vec![format!("{}/{}", namespace.namespace, pod.pod), state.to_owned(), print::plain(&why)]
    });
    rows.collect()
}

/// Enough of a digest to compare by eye.
fn short(digest: Option<&str>) -> String {
    digest.map_or_else(|| "-".to_owned(), |digest| digest.chars().take("sha256:".len() + 12).collect())
}

#[cfg(test)]
mod tests;
