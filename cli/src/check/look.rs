//! Asks the API server everything that a check is about, and judges nothing. What is not allowed or not there is kept as
//! that. Called by [`super::run`].

use std::time::SystemTime;

use futures::StreamExt as _;
use http::header::DATE;
use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
    ValidatingWebhookConfiguration,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec,
};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Secret};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::client::Body;
use kube::{Api, Client};
use rasp_operator::inject::Settings;
use rasp_policy::pod::INJECT_LABEL;
use serde_json::{Value, json};

use super::needs::{self, Need};
use crate::args;
use crate::cluster::{Cluster, Seen, get, list, settings, text, values};
use crate::fleet;
use crate::standing::{self, Standings};

/// Name of the configuration of the webhooks.
pub const WEBHOOKS: &str = "kube-rasp-injector";
/// Name of the configuration of the webhook that compiles policies.
pub const VALIDATOR: &str = "kube-rasp-validator";
/// Name of the Secret with the serving certificate, where the operator is not told another one.
const CERTIFICATE_SECRET: &str = "kube-rasp-webhook-tls";
/// Questions about rights that are under way at once.
const AT_ONCE: usize = 8;

/// `major`, `minor` and `gitVersion` of an API server.
pub type Version = (String, String, String);

/// What is there before kube-rasp is.
pub struct ClusterSeen {
    /// Of the API server.
    pub version: Seen<Version>,
    /// Time of the API server and of this machine, at one moment.
    pub time: Seen<(Timestamp, Timestamp)>,
    /// The nodes.
    pub nodes: Seen<Vec<Node>>,
    /// When each kubelet last renewed its lease, by its own clock.
    pub leases: Seen<Vec<(String, Timestamp)>>,
    /// Each definition of this version, and the one that is there.
    pub crds: Vec<(Value, Seen<Option<Value>>)>,
    /// How many rights were asked for, and which of them are missing.
    pub rights: Seen<(usize, Vec<Need>)>,
    /// The operator.
    pub deployment: Seen<Option<Deployment>>,
    /// The webhook configuration.
    pub webhooks: Seen<Option<MutatingWebhookConfiguration>>,
}

/// What is there of kube-rasp.
pub struct Installed {
    /// Where the operator runs.
    pub namespace: String,
    /// Now.
    pub now: Timestamp,
    /// The operator.
    pub deployment: Seen<Option<Deployment>>,
    /// What serves the webhook.
    pub endpoints: Seen<Vec<EndpointSlice>>,
    /// The webhook configuration.
    pub webhooks: Seen<Option<MutatingWebhookConfiguration>>,
    /// The one of the validator of policies.
    pub validator: Seen<Option<ValidatingWebhookConfiguration>>,
    /// Where the serving certificate comes from.
    pub certificate: Certificate,
    /// The Secret with it.
    pub secret: Seen<Option<Secret>>,
    /// What pods are injected with.
    pub settings: Seen<Settings>,
    /// Namespaces with their pods.
    pub fleet: Seen<Vec<fleet::Namespace>>,
    /// Namespaces that the webhook leaves alone.
    pub excluded: Vec<String>,
    /// The policies and exceptions.
    pub policies: Standings,
    /// What the API server itself refuses or warns of.
    pub guard_rails: (Seen<Vec<ValidatingAdmissionPolicy>>, Seen<Vec<ValidatingAdmissionPolicyBinding>>),
    /// Where a pod was tried, and what came back.
    pub admission: (String, Result<Value, kube::Error>),
}

/// Where the serving certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Name of its Secret.
    pub secret: String,
    /// Somebody else makes it, and the operator only reads it.
    pub provided: bool,
}

/// As the environment of the operator says it.
pub fn certificate(deployment: Option<&Deployment>) -> Certificate {
    let template = deployment.and_then(|deployment| deployment.spec.as_ref()?.template.spec.as_ref());
    let containers = template.iter().flat_map(|pod| &pod.containers);
    let variables: Vec<_> = containers.filter_map(|container| container.env.as_ref()).flatten().collect();
    let value = |name: &str| {
        let named = variables.iter().find(|variable| variable.name == name);
        named.and_then(|variable| variable.value.clone())
    };
    Certificate {
        secret: value("RASP_CERTIFICATE_SECRET").unwrap_or_else(|| CERTIFICATE_SECRET.to_owned()),
        provided: value("RASP_CERTIFICATE_SOURCE").is_some_and(|source| source == "secret"),
    }
}

/// Asks for the version: where there is no answer to that, nothing else is worth asking.
pub async fn version(cluster: &Cluster) -> Seen<Version> {
    let version = cluster.client.apiserver_version().await;
    version.map(|info| (info.major, info.minor, info.git_version)).map_err(|error| text(&error))
}

/// Looks at the cluster.
pub async fn cluster(cluster: &Cluster, args: &args::Check, version: Seen<Version>) -> ClusterSeen {
    let client = &cluster.client;
    let namespace = args.operator_namespace.as_str();
    ClusterSeen {
        version,
        time: time(client).await,
        nodes: list(&Api::all(client.clone()), "").await,
        leases: leases(client).await,
        crds: crds(client).await,
        rights: if args.pre { installer(client, namespace).await } else { operator(client, namespace).await },
        deployment: get(&Api::namespaced(client.clone(), namespace), needs::OPERATOR).await,
        webhooks: get(&Api::all(client.clone()), WEBHOOKS).await,
    }
}

/// Looks at what is installed.
pub async fn installation(cluster: &Cluster, args: &args::Check) -> Installed {
    let client = &cluster.client;
    let namespace = args.operator_namespace.as_str();
    let webhooks = get(&Api::all(client.clone()), WEBHOOKS).await;
    let excluded = excluded(webhooks.as_ref().ok().and_then(Option::as_ref));
    let settings = settings(client, namespace).await.map_err(|error| format!("{error:#}"));
    let fleet = fleet(client, settings.as_ref().ok(), &excluded).await;
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
    let admission = admission(client, args, &fleet, settings.as_ref().ok(), &excluded).await;
    let deployment = get(&Api::namespaced(client.clone(), namespace), needs::OPERATOR).await;
    let certificate = certificate(deployment.as_ref().ok().and_then(Option::as_ref));
    Installed {
        namespace: namespace.to_owned(),
        now: Timestamp::now(),
        deployment,
        endpoints: list(&slices, "").await,
        secret: get(&Api::namespaced(client.clone(), namespace), &certificate.secret).await,
        certificate,
        policies: standing::fetch(client, None).await,
        guard_rails: (list(&Api::all(client.clone()), "").await, list(&Api::all(client.clone()), "").await),
        webhooks,
        validator: get(&Api::all(client.clone()), VALIDATOR).await,
        settings,
        fleet,
        excluded,
        admission,
    }
}

/// `Date` has whole seconds: the middle of that second against the middle of the question.
async fn time(client: &Client) -> Seen<(Timestamp, Timestamp)> {
    let request = http::Request::get("/version").body(Body::empty()).map_err(|error| error.to_string())?;
    let before = SystemTime::now();
    let response = client.send(request).await.map_err(|error| text(&error))?;
    let own = before + before.elapsed().unwrap_or_default() / 2;
    let date = response.headers().get(DATE).and_then(|value| value.to_str().ok());
    let date = date.ok_or("the API server sends no Date")?;
    let theirs = jiff::fmt::rfc2822::parse(date).map_err(|error| error.to_string())?.timestamp();
    let theirs = theirs.checked_add(jiff::SignedDuration::from_millis(500)).unwrap_or(theirs);
    Ok((theirs, Timestamp::try_from(own).map_err(|error| error.to_string())?))
}

async fn leases(client: &Client) -> Seen<Vec<(String, Timestamp)>> {
    let leases: Vec<Lease> = list(&Api::namespaced(client.clone(), "kube-node-lease"), "").await?;
    let renewed = |lease: Lease| Some((lease.metadata.name?, lease.spec?.renew_time?.0));
    Ok(leases.into_iter().filter_map(renewed).collect())
}

async fn crds(client: &Client) -> Vec<(Value, Seen<Option<Value>>)> {
    let kind = ApiResource::erase::<CustomResourceDefinition>(&());
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
    let mut found = Vec::new();
    for wanted in needs::crds() {
        let there = get(&api, fleet::text(&wanted, "/metadata/name")).await;
        let there = there.map(|crd| crd.and_then(|crd| serde_json::to_value(crd).ok()));
        found.push((wanted, there));
    }
    found
}

/// What whoever runs this lacks to install kube-rasp. Roles can be made only by who may do what they grant.
async fn installer(client: &Client, namespace: &str) -> Seen<(usize, Vec<Need>)> {
    let mut wanted = needs::of_installer(namespace);
    if !allowed(client, None, &needs::escalate()).await? {
        wanted.extend(needs::of_operator(namespace));
    }
    missing(client, None, wanted).await
}

/// What the operator lacks.
async fn operator(client: &Client, namespace: &str) -> Seen<(usize, Vec<Need>)> {
    missing(client, Some(namespace), needs::of_operator(namespace)).await
}

async fn missing(client: &Client, operator_in: Option<&str>, wanted: Vec<Need>) -> Seen<(usize, Vec<Need>)> {
    let asked = wanted.len();
    let answers = futures::stream::iter(wanted)
        .map(async |need| (allowed(client, operator_in, &need).await, need))
        .buffered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    let mut missing = Vec::new();
    for (answer, need) in answers {
        if !answer? {
            missing.push(need);
        }
    }
    Ok((asked, missing))
}

/// Whether this user, or the operator of a namespace, may do it.
async fn allowed(client: &Client, operator_in: Option<&str>, need: &Need) -> Seen<bool> {
    let attributes = Some(ResourceAttributes {
        group: Some(need.group.clone()),
        resource: Some(need.resource.clone()),
        subresource: need.subresource.clone(),
        name: need.name.clone(),
        verb: Some(need.verb.clone()),
        namespace: need.namespace.clone(),
        ..ResourceAttributes::default()
    });
    let parameters = PostParams::default();
    let status = match operator_in {
        None => {
            let spec = SelfSubjectAccessReviewSpec {
                resource_attributes: attributes,
                non_resource_attributes: None,
            };
            let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
            Api::all(client.clone()).create(&parameters, &review).await.map(|review| review.status)
        }
        Some(namespace) => {
            let groups = [
                "system:serviceaccounts",
                &format!("system:serviceaccounts:{namespace}"),
                "system:authenticated",
            ]
            .map(ToOwned::to_owned);
            let spec = SubjectAccessReviewSpec {
                user: Some(format!("system:serviceaccount:{namespace}:{}", needs::OPERATOR)),
                groups: Some(groups.to_vec()),
                resource_attributes: attributes,
                ..SubjectAccessReviewSpec::default()
            };
            let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
            Api::all(client.clone()).create(&parameters, &review).await.map(|review| review.status)
        }
    };
    Ok(status.map_err(|error| text(&error))?.is_some_and(|status| status.allowed))
}

/// Namespaces that the webhooks leave alone by their names.
pub fn excluded(webhooks: Option<&MutatingWebhookConfiguration>) -> Vec<String> {
    let webhooks = webhooks.and_then(|configuration| configuration.webhooks.as_ref());
    let expressions = webhooks
        .into_iter()
        .flatten()
        .filter_map(|webhook| webhook.namespace_selector.as_ref()?.match_expressions.as_ref())
        .flatten()
        .filter(|term| term.key == "kubernetes.io/metadata.name" && term.operator == "NotIn");
    let mut names: Vec<String> = expressions.filter_map(|term| term.values.clone()).flatten().collect();
    names.sort();
    names.dedup();
    names
}

/// Whether the webhook leaves a namespace alone.
pub fn is_excluded(excluded: &[String], namespace: &str) -> bool {
    namespace.starts_with("kube-") || excluded.iter().any(|name| name == namespace)
}

async fn fleet(
    client: &Client,
    settings: Option<&Settings>,
    excluded: &[String],
) -> Seen<Vec<fleet::Namespace>> {
    let namespaces = values::<Namespace>(client, None).await?;
    let pods = values::<Pod>(client, None).await?;
    Ok(fleet::sort(&namespaces, &pods, settings, |name| is_excluded(excluded, name)))
}

/// Has a pod admitted in a dry run: whether the API server reaches the webhook, trusts it, and gets the sidecar from it.
/// The pod asks for as little as Pod Security `restricted` allows.
async fn admission(
    client: &Client,
    args: &args::Check,
    fleet: &Seen<Vec<fleet::Namespace>>,
    settings: Option<&Settings>,
    excluded: &[String],
) -> (String, Result<Value, kube::Error>) {
    let restricted = |namespace: &fleet::Namespace| {
        let level = namespace.labels.get("pod-security.kubernetes.io/enforce").map(String::as_str);
        matches!(level, Some("baseline" | "restricted"))
    };
    let asking = fleet.as_ref().ok().and_then(|fleet| {
        fleet.iter().find(|namespace| namespace.asks() && !namespace.excluded && !restricted(namespace))
    });
    let namespace = match (&args.probe_namespace, asking) {
        (Some(named), _) => named.clone(),
        (None, Some(asking)) => asking.name.clone(),
        (None, None) if !is_excluded(excluded, "default") => "default".to_owned(),
        (None, None) => return ("-".to_owned(), Ok(Value::Null)),
    };
    let image = settings.map_or("kube-rasp.invalid/probe", |settings| settings.proxy_image.as_str());
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "raspctl-check-", "labels": {INJECT_LABEL: "true"}},
        "spec": {
            "automountServiceAccountToken": false,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "probe",
                "image": image,
                "resources": {
                    "requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"cpu": "1m", "memory": "1Mi"},
                },
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    });
    let answer = async {
        let kind = ApiResource::erase::<Pod>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &kind);
        let pod = serde_json::from_value(pod).map_err(kube::Error::SerdeError)?;
        let parameters = PostParams { dry_run: true, ..PostParams::default() };
        let made = api.create(&parameters, &pod).await?;
        serde_json::to_value(made).map_err(kube::Error::SerdeError)
    };
    let answer = answer.await;
    (namespace, answer)
}
