//! What the webhook knows of namespaces, and the settings every pod is injected with. From caches only.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rasp_policy::pod::INJECT_LABEL;
use serde_json::Value;

use crate::args::Run;
use crate::certificate::Issued;
use crate::inject::{self, Decision, Level, NamespaceFacts, Reason, Resources, Settings};
use crate::observe::{Cache, Namespace, Pod};
use crate::signing::Key;
use crate::webhook;

/// How long a review waits for a namespace that the watch has not shown yet: `kubectl create -f` makes a namespace and
/// its pods within milliseconds. Well below the 5 seconds of the webhook.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why a running pod has no sidecar. Shown to people as a part of a sentence, or by the id of the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// A new pod would get one: it was there before its namespace asked, or started while the webhook was away.
    Missed,
    /// Its namespace is excluded from injection by name.
    Excluded,
    /// Its namespace is labelled `disabled`.
    Disabled,
    /// A new pod would get none either: the id of the [`Reason`].
    NotInjected(&'static str),
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missed => "started before injection was asked for: restart it",
            Self::Excluded => "its namespace is excluded from injection",
            Self::Disabled => "its namespace is labelled disabled",
            Self::NotInjected(reason) => reason,
        })
    }
}

/// Answers the questions of a review.
pub struct Facts {
    cache: Arc<Cache>,
    settings: ArcSwap<Settings>,
    /// Other settings that a pod may have been injected with a moment ago, here or by another replica.
    accepted: ArcSwap<Vec<Arc<Settings>>>,
}

/// Other settings that are remembered.
const MAX_ACCEPTED: usize = 8;

impl Facts {
    /// Facts from this cache.
    pub fn new(cache: Arc<Cache>, settings: Settings) -> Self {
        Self { cache, settings: ArcSwap::from_pointee(settings), accepted: ArcSwap::default() }
    }

    /// Pods that have these settings already are taken for injected from now on. `false` when new pods get them anyway.
    pub fn accept(&self, settings: &Settings) -> bool {
        if **self.settings.load() == *settings {
            return false;
        }
        self.remember(&Arc::new(settings.clone()));
        true
    }

    /// New pods get these settings from now on.
    pub fn replace(&self, settings: Settings) {
        self.remember(&self.settings.swap(Arc::new(settings)));
    }

    fn remember(&self, settings: &Arc<Settings>) {
        let known = self.accepted.load_full();
        let others = known.iter().filter(|known| *known != settings).take(MAX_ACCEPTED - 1);
        self.accepted.store(Arc::new(std::iter::once(settings).chain(others).cloned().collect()));
    }

    /// Why a running pod has no sidecar; `None` of one that has.
    pub fn why(&self, pod: &Pod, namespace: &Namespace, excluded: bool) -> Option<Absence> {
        let Some(level) = level(namespace, excluded) else {
            return Some(if excluded { Absence::Excluded } else { Absence::Disabled });
        };
        let facts = facts(namespace, None);
        match inject::decide(&pod.manifest.as_ref()?.read(), level, &facts, &self.settings.load()) {
            Decision::Inject(_) => Some(Absence::Missed),
            Decision::Skip(reason) | Decision::Refuse(reason) => Some(Absence::NotInjected(reason.id())),
        }
    }

    /// Whether a pod of this template would have the sidecar that new pods get, as far as a template tells.
    pub fn injects(&self, template: &Value, namespace: &Namespace, excluded: bool) -> bool {
        let Some(level) = level(namespace, excluded) else { return false };
        matches!(
            inject::decide(template, level, &facts(namespace, None), &self.settings.load()),
            Decision::Inject(_) | Decision::Skip(Reason::AlreadyInjected)
        )
    }
}

/// Which webhook is asked about the pods of a namespace, as the chart selects it; `None` where none is.
fn level(namespace: &Namespace, excluded: bool) -> Option<Level> {
    if excluded {
        return None;
    }
    match namespace.labels.get(INJECT_LABEL).map(String::as_str) {
        Some("disabled") => None,
        Some("enabled") => Some(Level::Enabled),
        Some("enforced") => Some(Level::Enforced),
        _ => Some(Level::Object),
    }
}

impl webhook::Facts for Facts {
    async fn namespace(&self, name: &str) -> Option<NamespaceFacts> {
        let namespace = self.cache.namespace(name, PATIENCE).await?;
        let stored = self.cache.read().bundles.of(name).into_iter().next();
        let opened =
            stored.and_then(|stored| stored.opened.as_ref().ok().map(|opened| Arc::clone(&opened.bundle)));
        Some(facts(&namespace, opened))
    }

    fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    fn accepted(&self) -> Arc<Vec<Arc<Settings>>> {
        self.accepted.load_full()
    }
}

fn facts(namespace: &Namespace, bundle: Option<Arc<rasp_policy::bundle::Bundle>>) -> NamespaceFacts {
    NamespaceFacts {
        uid: Some(namespace.uid.clone()),
        labels: namespace.labels.clone(),
        annotations: namespace.annotations.clone(),
        // Somebody else's Bundle must not set the floor of the sequence.
        bundle: bundle.filter(|bundle| bundle.namespace.uid == namespace.uid),
    }
}

/// The settings that follow from the flags, the key and the CA.
pub fn settings(args: &Run, key: &Key, issued: &Issued) -> Settings {
    Settings {
        proxy_image: args.proxy_image.clone(),
        allowed_images: args.proxy_allowed_images.clone(),
        pull_policy: args.proxy_image_pull_policy.clone(),
        operator_url: args.operator_url(),
        operator_ca_pem: issued.ca_pem.clone(),
        public_keys: key.trusted(std::time::SystemTime::now()),
        resources: Resources {
            cpu_request: args.proxy_cpu_request.clone(),
            cpu_limit: args.proxy_cpu_limit.clone(),
            memory_request: args.proxy_memory_request.clone(),
            memory_limit: args.proxy_memory_limit.clone(),
        },
    }
}

#[cfg(test)]
mod tests;
