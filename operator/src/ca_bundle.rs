//! Keeps the CA of the serving certificate in every webhook of a configuration: of the one that injects, and of the one that
//! validates policies.
//!
//! Nothing but `caBundle` is ever changed. The patch tests each webhook's name first, so that a configuration that was
//! edited meanwhile is read again instead of being patched at the wrong place. Only the leader writes; every replica
//! becomes ready only once it has seen the CA in place, and none leaves when somebody takes it away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::runtime::watcher::{Config, Event};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::api_error;
use crate::apply::FIELD_MANAGER;
use crate::certificate::Issued;
use crate::leader::Leadership;
use crate::metrics::{ErrorKind, Metrics};
use crate::observe::watch::follow;

/// How often it is looked at without a cause, so that a failed patch is tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// Longest wait for a patch. Less than the margin between the end of our term and the next leader's.
const PATIENCE: Duration = Duration::from_secs(4);

/// Whether the CA is in a configuration.
#[derive(Debug, Default)]
pub struct Placed {
    now: AtomicBool,
    once: AtomicBool,
}

impl Placed {
    /// Whether it is there as far as is known.
    pub fn now(&self) -> bool {
        self.now.load(Ordering::Acquire)
    }

    /// Whether it was ever seen there.
    pub fn once(&self) -> bool {
        self.once.load(Ordering::Acquire)
    }

    /// The configuration was looked at.
    pub fn see(&self, is_there: bool) {
        self.now.store(is_there, Ordering::Release);
        self.once.fetch_or(is_there, Ordering::AcqRel);
    }
}

/// Follows one configuration.
pub struct Keeper {
    /// Reads and patches.
    pub client: Client,
    /// MutatingWebhookConfiguration or ValidatingWebhookConfiguration.
    pub kind: ApiResource,
    /// Name of the configuration.
    pub name: String,
    /// Whether this replica may patch.
    pub leadership: Leadership,
    /// Moved by failures.
    pub metrics: Arc<Metrics>,
    /// Told whether the CA is in place.
    pub placed: Arc<Placed>,
    /// The webhooks as they stand, for others.
    pub seen: watch::Sender<Vec<Value>>,
}

impl Keeper {
    /// Runs until the task is dropped. `ca` tells which CA is in use.
    pub async fn run(self, mut ca: watch::Receiver<Arc<Issued>>) {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &self.kind);
        let (seen, mut webhooks) = (&self.seen, self.seen.subscribe());
        let only = Config::default().fields(&format!("metadata.name={}", self.name));
        let observe = follow(api.clone(), only, &self.metrics, |event| match event {
            Event::Apply(object) | Event::InitApply(object) => {
                let list = object.data.get("webhooks").and_then(Value::as_array).cloned();
                seen.send_replace(list.unwrap_or_default());
            }
            Event::Delete(_) => {
                seen.send_replace(Vec::new());
            }
            Event::Init | Event::InitDone => {}
        });
        let repair = async {
            loop {
                let (current, issued) =
                    (webhooks.borrow_and_update().clone(), ca.borrow_and_update().clone());
                self.look(&api, &current, &issued.ca_pem).await;
                tokio::select! {
                    _ = webhooks.changed() => {}
                    _ = ca.changed() => {}
                    () = tokio::time::sleep(AGAIN) => {}
                }
            }
        };
        tokio::join!(observe, repair);
    }

    async fn look(&self, api: &Api<DynamicObject>, webhooks: &[Value], pem: &str) {
        let patch = patch(webhooks, pem);
        self.placed.see(is_placed(webhooks, pem));
        let Some(patch) = patch.filter(|_| self.leadership.is_leader()) else { return };
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let patch: Patch<Value> = Patch::Json(patch);
        match tokio::time::timeout(PATIENCE, api.patch(&self.name, &params, &patch)).await {
            Ok(Ok(_)) => {
                tracing::info!(configuration = self.name, "the CA was put into the webhook configuration");
            }
            Ok(Err(error)) => {
                self.metrics.failed(ErrorKind::CaBundle);
                let error = api_error::text(&error);
                tracing::warn!(error, configuration = self.name, "cannot patch the webhook configuration");
            }
            Err(_) => self.metrics.failed(ErrorKind::CaBundle),
        }
    }
}

/// Whether every webhook has exactly these CAs.
pub fn is_placed(webhooks: &[Value], pem: &str) -> bool {
    !webhooks.is_empty() && patch(webhooks, pem).is_none()
}

/// The patch that puts the CA into every webhook that has not got it, if there is one. It tests what is replaced, so that
/// a writer that is no longer leader cannot undo what its successor did.
fn patch(webhooks: &[Value], pem: &str) -> Option<json_patch::Patch> {
    let wanted = BASE64.encode(pem);
    let operations: Vec<Value> = webhooks
        .iter()
        .enumerate()
        .filter(|(_, webhook)| webhook["clientConfig"]["caBundle"].as_str() != Some(&wanted))
        .flat_map(|(index, webhook)| {
            let path = format!("/webhooks/{index}/clientConfig/caBundle");
            let found = &webhook["clientConfig"]["caBundle"];
            let mut operations = vec![
                json!({ "op": "test", "path": format!("/webhooks/{index}/name"), "value": webhook["name"] }),
            ];
            if !found.is_null() {
                operations.push(json!({ "op": "test", "path": path, "value": found }));
            }
            operations.push(json!({ "op": "add", "path": path, "value": wanted }));
            operations
        })
        .collect();
    if operations.is_empty() { None } else { serde_json::from_value(Value::Array(operations)).ok() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::patch;

    #[test]
    fn only_what_differs_is_patched_and_the_name_is_tested_first() {
        let webhooks = [
            json!({ "name": "a", "clientConfig": { "caBundle": "UEVN" } }),
            json!({ "name": "b", "clientConfig": { "caBundle": "b3RoZXI=" } }),
            json!({ "name": "c", "clientConfig": { "service": {} } }),
        ];
        let operations = serde_json::to_value(patch(&webhooks, "PEM").unwrap()).unwrap();
        assert_eq!(
            operations,
            json!([
                { "op": "test", "path": "/webhooks/1/name", "value": "b" },
                { "op": "test", "path": "/webhooks/1/clientConfig/caBundle", "value": "b3RoZXI=" },
                { "op": "add", "path": "/webhooks/1/clientConfig/caBundle", "value": "UEVN" },
                { "op": "test", "path": "/webhooks/2/name", "value": "c" },
                { "op": "add", "path": "/webhooks/2/clientConfig/caBundle", "value": "UEVN" },
            ])
        );
    }

    #[test]
    fn nothing_is_patched_twice() {
        assert_eq!(patch(&[json!({ "name": "a", "clientConfig": { "caBundle": "UEVN" } })], "PEM"), None);
        assert_eq!(patch(&[], "PEM"), None);
    }
}
