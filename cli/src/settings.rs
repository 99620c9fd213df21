//! With what pods are injected: the settings that the operator publishes, from the cluster or from a file.

use std::path::Path;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use rasp_operator::inject::Settings;
use rasp_operator::publish::{SETTINGS_CONFIG_MAP, SETTINGS_KEY};

/// Reads a file, as the ConfigMap of the operator holds it.
pub fn read(path: &Path) -> anyhow::Result<Settings> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_yaml::from_str(&text).with_context(|| format!("{} does not hold settings", path.display()))
}

/// Reads what the operator has published, from the cluster that the kubeconfig names.
pub fn fetch(namespace: &str) -> anyhow::Result<Settings> {
    // Another provider is never linked, so that it cannot be installed already.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let map = runtime.block_on(async {
        let client = Client::try_default()
            .await
            .context("cannot find the cluster; give --settings FILE to work without one")?;
        let api: Api<ConfigMap> = Api::namespaced(client, namespace);
        api.get(SETTINGS_CONFIG_MAP).await.with_context(|| {
            format!(
                "cannot read ConfigMap {namespace}/{SETTINGS_CONFIG_MAP}: is kube-rasp installed there \
                 (--operator-namespace)?"
            )
        })
    })?;
    let text = map.data.as_ref().and_then(|data| data.get(SETTINGS_KEY));
    let text =
        text.with_context(|| format!("ConfigMap {namespace}/{SETTINGS_CONFIG_MAP} has no {SETTINGS_KEY}"))?;
    serde_yaml::from_str(text).with_context(|| {
        format!("ConfigMap {namespace}/{SETTINGS_CONFIG_MAP} does not hold settings that this version knows")
    })
}
