//! The cluster that the kubeconfig names. Reads; what is ever sent to be made is a pod in a dry run ([`crate::check`]), and what
//! [`crate::rollback`] puts back. What the caller may not see is an error in words, so that a command can go on without it.

use std::path::PathBuf;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use rasp_operator::inject::Settings;
use rasp_operator::publish::{SETTINGS_CONFIG_MAP, SETTINGS_KEY};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What could be seen, or why it could not.
pub type Seen<T> = Result<T, String>;

/// Objects of one answer of the API server.
const PAGE: u32 = 500;

/// Which cluster.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Connection {
    /// The kubeconfig, instead of $KUBECONFIG, ~/.kube/config or the service account of this pod.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// A connection.
pub struct Cluster {
    /// Asks.
    pub client: Client,
    /// Namespace of the context.
    pub namespace: String,
}

/// Connects, and does some work with the cluster.
pub fn with<T>(
    connection: &Connection,
    work: impl AsyncFnOnce(Cluster) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    // Another provider is never linked, so that it cannot be installed already.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let config = config(connection).await.context("cannot find the cluster")?;
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config).context("cannot find the cluster")?;
        work(Cluster { client, namespace }).await
    })
}

async fn config(connection: &Connection) -> anyhow::Result<Config> {
    let options = KubeConfigOptions { context: connection.context.clone(), ..KubeConfigOptions::default() };
    Ok(match &connection.kubeconfig {
        Some(path) => Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?,
        None if connection.context.is_some() => Config::from_kubeconfig(&options).await?,
        None => Config::infer().await?,
    })
}

/// An error of the client in one line: what the API server said.
pub fn text(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} ({})", status.message, status.code),
        other => other.to_string(),
    }
}

/// One object; `None` where there is none.
pub async fn get<K>(api: &Api<K>, name: &str) -> Seen<Option<K>>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    api.get_opt(name).await.map_err(|error| text(&error))
}

/// All objects of a list, page by page. `selector` selects fields.
pub async fn list<K>(api: &Api<K>, selector: &str) -> Seen<Vec<K>>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut parameters = ListParams::default().limit(PAGE);
    if !selector.is_empty() {
        parameters = parameters.fields(selector);
    }
    let mut all = Vec::new();
    loop {
        let page = api.list(&parameters).await.map_err(|error| text(&error))?;
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters.continue_token = Some(token),
            None => return Ok(all),
        }
    }
}

/// Objects as the JSON that the API server sends: nothing of a newer version is lost.
pub async fn values<K>(client: &Client, namespace: Option<&str>) -> Seen<Vec<Value>>
where
    K: kube::Resource<DynamicType = ()>,
{
    let kind = ApiResource::erase::<K>(&());
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind),
        None => Api::all_with(client.clone(), &kind),
    };
    let objects = list(&api, "").await?;
    Ok(objects.into_iter().filter_map(|object| serde_json::to_value(object).ok()).collect())
}

/// What the operator publishes for those who inject without the webhook.
pub async fn settings(client: &Client, namespace: &str) -> anyhow::Result<Settings> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let map = api.get(SETTINGS_CONFIG_MAP).await.map_err(|error| {
        anyhow::anyhow!(
            "cannot read ConfigMap {namespace}/{SETTINGS_CONFIG_MAP}: {}: is kube-rasp installed there \
             (--operator-namespace)?",
            text(&error)
        )
    })?;
    let text = map.data.as_ref().and_then(|data| data.get(SETTINGS_KEY));
    let text =
        text.with_context(|| format!("ConfigMap {namespace}/{SETTINGS_CONFIG_MAP} has no {SETTINGS_KEY}"))?;
    serde_yaml::from_str(text).with_context(|| {
        format!("ConfigMap {namespace}/{SETTINGS_CONFIG_MAP} does not hold settings that this version knows")
    })
}
