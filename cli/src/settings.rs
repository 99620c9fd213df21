//! With what pods are injected: the settings that the operator publishes, from the cluster or from a file.

use std::path::Path;

use anyhow::Context as _;
use rasp_operator::inject::Settings;

use crate::cluster::{self, Connection};

/// Reads a file, as the ConfigMap of the operator holds it.
pub fn read(path: &Path) -> anyhow::Result<Settings> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_yaml::from_str(&text).with_context(|| format!("{} does not hold settings", path.display()))
}

/// Reads what the operator has published.
pub fn fetch(connection: &Connection, namespace: &str) -> anyhow::Result<Settings> {
    cluster::with(connection, async |cluster| cluster::settings(&cluster.client, namespace).await)
        .context("cannot read the settings of injection; give --settings FILE to work without a cluster")
}
