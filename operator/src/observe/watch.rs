//! The watches that fill the cache. Each restarts with backoff for ever; an error is logged and counted, never fatal.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1;
use kube::api::Api;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{Config, DefaultBackoff, Event};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Resource};
use rasp_policy::crd;
use rasp_policy::pod::BUNDLE_CONFIG_MAP;

use super::{Cache, Seen, Stored, Watched};
use crate::metrics::{ErrorKind, Metrics};
use crate::secrets::Held;
use crate::signing::Key;

/// Objects of one answer while a list is read. A page of pods is several times what is kept of it, as text alone, and the pages of
/// several kinds are there at once: with the 500 of client-go a start took four times the memory of what follows.
const PAGE: u32 = 50;

/// Follows every kind until the task is dropped.
pub async fn all(client: Client, cache: Arc<Cache>, signing: Arc<Held<Key>>, metrics: Arc<Metrics>) {
    let namespaces = follow(objects::<v1::Namespace>(&client), Config::default(), &metrics, |event| {
        cache.update(|state| state.namespaces.apply(kept(event)));
    });
    let pods = follow(objects::<v1::Pod>(&client), Config::default(), &metrics, |event| {
        cache.update(|state| state.pods.apply(kept(event)));
    });
    let policies = follow(objects::<crd::RaspPolicy>(&client), Config::default(), &metrics, |event| {
        cache.update(|state| state.policies.apply(kept(event)));
    });
    let clusters = follow(objects::<crd::ClusterRaspPolicy>(&client), Config::default(), &metrics, |event| {
        cache.update(|state| state.apply_cluster(kept(event)));
    });
    let exceptions = follow(objects::<crd::RaspException>(&client), Config::default(), &metrics, |event| {
        cache.update(|state| state.exceptions.apply(kept(event)));
    });
    let services = follow(objects::<v1::Service>(&client), Config::default(), &metrics, |event| {
        cache.update(|state| state.services.apply(kept(event)));
    });
    // A field selector of the fixed name is what lets RBAC restrict the watch by resourceNames.
    let ours = Config::default().fields(&format!("metadata.name={BUNDLE_CONFIG_MAP}"));
    let bundles = follow(objects::<v1::ConfigMap>(&client), ours, &metrics, |event| {
        let key = signing.get();
        let event = map(event, |seen| Stored::read(seen.kept, &key));
        cache.update_bundles(|bundles| bundles.apply(event));
    });
    tokio::join!(namespaces, pods, policies, bundles, services, clusters, exceptions);
}

/// All objects of a kind.
fn objects<K: Watched>(client: &Client) -> Api<Seen<K>> {
    Api::all(client.clone())
}

fn kept<K: Watched>(event: Event<Seen<K>>) -> Event<K::Kept> {
    map(event, |seen| seen.kept)
}

/// Calls `observe` for every event of a watch.
pub fn follow<'a, K>(
    api: Api<K>,
    config: Config,
    metrics: &'a Metrics,
    mut observe: impl FnMut(Event<K>) + 'a,
) -> impl Future<Output = ()> + 'a
where
    K: Resource + Clone + Debug + Send + serde::de::DeserializeOwned + 'static,
    K::DynamicType: Clone,
{
    let stream = watcher(api, config.page_size(PAGE)).backoff(Patience::default());
    async move {
        let mut stream = std::pin::pin!(stream);
        while let Some(event) = stream.next().await {
            match event {
                Ok(event) => observe(event),
                Err(error) => {
                    metrics.failed(ErrorKind::Watch);
                    tracing::warn!(%error, "a watch failed and is restarted");
                }
            }
        }
    }
}

/// The pauses of client-go, but at most five seconds: these are few watches, and after an outage of the API server a
/// changed policy should not wait for half a minute.
#[derive(Default)]
pub struct Patience(DefaultBackoff);

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next().map(|pause| pause.min(Duration::from_secs(5)))
    }
}

impl Backoff for Patience {
    fn reset(&mut self) {
        self.0.reset();
    }
}

fn map<T, U>(event: Event<T>, read: impl FnOnce(T) -> U) -> Event<U> {
    match event {
        Event::Apply(object) => Event::Apply(read(object)),
        Event::Delete(object) => Event::Delete(read(object)),
        Event::InitApply(object) => Event::InitApply(read(object)),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    }
}

#[cfg(test)]
mod tests;
