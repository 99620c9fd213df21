use std::sync::Arc;
use std::time::Duration;

use kube::Api;
use kube::runtime::utils::Backoff as _;
use serde_json::{Value, json};

use super::{Patience, all};
use crate::metrics::Metrics;
use crate::observe::Cache;
use crate::secrets::Held;
use crate::signing::Key;
use crate::testing::{Call, api, refusal};

/// Lists of every kind; a watch delivers one more policy and ends.
fn cluster(call: &Call) -> (u16, Value) {
    if call.uri.contains("/secrets") {
        return if call.body.is_null() { refusal(404, "NotFound") } else { (201, call.body.clone()) };
    }
    let policy = |name: &str, spec: Value| {
        json!({
            "apiVersion": "rasp.dev/v1alpha1", "kind": "RaspPolicy", "spec": spec,
            "metadata": { "name": name, "namespace": "shop", "uid": name, "generation": 1, "resourceVersion": "5" },
        })
    };
    if call.uri.contains("watch=true") {
        let event = json!({ "type": "ADDED", "object": policy("late", json!({ "mode": "Block" })) });
        let nothing = json!({
            "type": "BOOKMARK",
            "object": { "apiVersion": "v1", "kind": "Pod", "metadata": { "resourceVersion": "6" } },
        });
        return (200, if call.uri.contains("/rasppolicies") { event } else { nothing });
    }
    let items = match &call.uri {
        uri if uri.contains("/clusterrasppolicies") || uri.contains("/raspexceptions") => json!([]),
        uri if uri.contains("/services") => json!([{ "metadata": { "name": "web", "namespace": "shop" } }]),
        uri if uri.contains("/rasppolicies") => {
            json!([
                policy("broken", json!({ "mode": 7, "newer": true })),
                policy("good", json!({ "mode": "Block" }))
            ])
        }
        uri if uri.contains("/namespaces") => json!([{ "metadata": { "name": "shop", "uid": "shop-uid" } }]),
        uri if uri.contains("/pods") => json!([
            { "metadata": { "name": "odd", "namespace": "shop", "uid": "o" }, "spec": { "containers": "none" } },
            { "metadata": { "name": "web", "namespace": "shop", "uid": "w" }, "status": { "phase": "Running" } },
        ]),
        _ => {
            json!([{ "metadata": { "name": "rasp-policy", "namespace": "shop" }, "data": { "bundle.v1": "{}" } }])
        }
    };
    (
        200,
        json!({ "kind": "List", "apiVersion": "v1", "metadata": { "resourceVersion": "5" }, "items": items }),
    )
}

#[tokio::test]
async fn fills_the_cache_and_no_broken_object_stops_it() {
    let (client, calls) = api(cluster);
    let (cache, metrics) = (Arc::new(Cache::default()), Arc::new(Metrics::new().unwrap()));
    let secrets = Api::namespaced(client.clone(), "kube-rasp");
    let key = Arc::new(
        Held::<Key>::obtain(secrets, "s", &crate::secrets::Terms { names: Vec::new(), owned: true })
            .await
            .unwrap(),
    );
    let watches = tokio::spawn(all(client, Arc::clone(&cache), key, metrics));
    let filled = async {
        while !cache.missing().is_empty() || cache.read().policies.get("shop", "late").is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), filled).await.expect("synced");
    watches.abort();

    let state = cache.read();
    assert!(state.policies.get("shop", "broken").unwrap().spec.is_err());
    assert!(state.policies.get("shop", "good").unwrap().spec.is_ok());
    assert!(!state.pods.get("shop", "odd").unwrap().running);
    assert!(state.pods.get("shop", "web").unwrap().running);
    assert!(state.bundles.of("shop")[0].opened.is_err());
    let config_maps =
        calls.lock().unwrap().iter().find(|call| call.uri.contains("/configmaps")).cloned().unwrap();
    assert!(config_maps.uri.contains("fieldSelector=metadata.name%3Drasp-policy"), "{}", config_maps.uri);
}

#[test]
fn pauses_grow_but_stay_short() {
    let mut patience = Patience::default();
    let pauses: Vec<_> = patience.by_ref().take(20).collect();
    assert!(pauses[0] >= Duration::from_millis(500), "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause <= Duration::from_secs(5)), "{pauses:?}");
    assert_eq!(pauses.last(), Some(&Duration::from_secs(5)));
    patience.reset();
    assert!(patience.next().unwrap() < Duration::from_secs(2));
}
