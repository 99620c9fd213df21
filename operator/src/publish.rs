//! Keeps the settings of injection readable for those who inject without the webhook: a ConfigMap beside the operator
//! that `raspctl inject` reads. It holds nothing secret. Only the leader writes; never reads it back. Called by `run`.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::apply::{Error, Writer};
use crate::facts::Facts;
use crate::inject::Settings;
use crate::metrics::{ErrorKind, Metrics};
use crate::webhook::Facts as _;

/// Name of the ConfigMap.
pub const SETTINGS_CONFIG_MAP: &str = "kube-rasp-injection";
/// Its key.
pub const SETTINGS_KEY: &str = "settings.yaml";

/// How often the settings are looked at, and what failed is tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// How often they are written although they are the same: somebody may have edited them.
const REPAIR: Duration = Duration::from_secs(60);

/// Publishes the settings that pods are injected with.
pub struct Publisher {
    /// What is published.
    pub facts: Arc<Facts>,
    /// Writes while this replica leads.
    pub writer: Writer,
    /// Namespace of the operator.
    pub namespace: String,
    /// Moved by failures.
    pub metrics: Arc<Metrics>,
}

impl Publisher {
    /// Runs until the task is dropped.
    pub async fn run(self) {
        let mut published: Option<(Arc<Settings>, Instant)> = None;
        loop {
            let settings = self.facts.settings();
            let is_known =
                published.as_ref().is_some_and(|(known, at)| **known == *settings && at.elapsed() < REPAIR);
            if !is_known {
                match self.writer.settings(&self.namespace, &settings).await {
                    Ok(()) => published = Some((settings, Instant::now())),
                    Err(Error::NotLeader) => published = None,
                    Err(error) => {
                        self.metrics.failed(ErrorKind::SettingsWrite);
                        tracing::warn!(%error, config_map = SETTINGS_CONFIG_MAP, "cannot publish the settings of injection");
                    }
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}
