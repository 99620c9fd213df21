//! The watches that fill the cache. Each restarts with backoff for ever; an error is logged and counted, never fatal.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{Config, DefaultBackoff, Event};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Resource};
use rasp_policy::api::Kind;
use rasp_policy::pod::BUNDLE_CONFIG_MAP;

use super::{Cache, Namespace, Pod, Policy, Service, Stored};
use crate::metrics::{ErrorKind, Metrics};
use crate::secrets::Held;
use crate::signing::Key;

/// Objects of one answer while a list is read. A page of pods as JSON takes a hundred times what is kept of it, and the pages
/// of several kinds are read at once: with the 500 of client-go a start took four times the memory of what follows.
const PAGE: u32 = 50;

/// Follows every kind until the task is dropped.
pub async fn all(client: Client, cache: Arc<Cache>, signing: Arc<Held<Key>>, metrics: Arc<Metrics>) {
    let namespaces =
        follow(api::<k8s_openapi::api::core::v1::Namespace>(&client), Config::default(), &metrics, |event| {
            let event = map(event, Namespace::read);
            cache.update(|state| state.namespaces.apply(event));
        });
    let pods =
        follow(api::<k8s_openapi::api::core::v1::Pod>(&client), Config::default(), &metrics, |event| {
            // Packing takes its time, and a review must not wait for it.
            let event = map(event, Pod::read);
            cache.update(|state| state.pods.apply(event));
        });
    let policies =
        follow(api::<rasp_policy::crd::RaspPolicy>(&client), Config::default(), &metrics, |event| {
            let event = map(event, |object| Policy::read(Kind::RaspPolicy, object));
            cache.update(|state| state.policies.apply(event));
        });
    let clusters =
        follow(api::<rasp_policy::crd::ClusterRaspPolicy>(&client), Config::default(), &metrics, |event| {
            let event = map(event, |object| Policy::read(Kind::ClusterRaspPolicy, object));
            cache.update(|state| state.apply_cluster(event));
        });
    let exceptions =
        follow(api::<rasp_policy::crd::RaspException>(&client), Config::default(), &metrics, |event| {
            let event = map(event, |object| Policy::read(Kind::RaspException, object));
            cache.update(|state| state.exceptions.apply(event));
        });
    let services =
        follow(api::<k8s_openapi::api::core::v1::Service>(&client), Config::default(), &metrics, |event| {
            let event = map(event, Service::read);
            cache.update(|state| state.services.apply(event));
        });
    // A field selector of the fixed name is what lets RBAC restrict the watch by resourceNames.
    let ours = Config::default().fields(&format!("metadata.name={BUNDLE_CONFIG_MAP}"));
    let bundles = follow(api::<k8s_openapi::api::core::v1::ConfigMap>(&client), ours, &metrics, |event| {
        let key = signing.get();
        cache.update_bundles(|bundles| bundles.apply(map(event, |object| Stored::read(object, &key))));
    });
    tokio::join!(namespaces, pods, policies, bundles, services, clusters, exceptions);
}

/// All objects of a kind, read as plain JSON, so that one object of an unexpected shape cannot fail a whole list.
fn api<K: Resource<DynamicType = ()>>(client: &Client) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &ApiResource::erase::<K>(&()))
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
