use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;
use kube::Api;
use rasp_policy::api::Kind;
use rasp_policy::bundle::{Bundle, Namespace, SCHEMA_VERSION};
use rasp_policy::history::{MOST_BYTES, MOST_RECORDS, Object, Record};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Change, Historian, Texts, TooLarge, change, revise};
use crate::apply::Writer;
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::observe::Policy;
use crate::plan::{Verdict, check};
use crate::secrets::{Held, Terms};
use crate::signing::Key;
use crate::testing::{api, mk_policy, mk_policy_of, refusal};

fn mk_bundle(sequence: u64, policies: &[Arc<Policy>]) -> Bundle {
    let entries = policies.iter().map(|policy| check(policy, &|_| Ok(())).unwrap()).collect();
    let namespace = Namespace { name: "shop".into(), uid: "shop-uid".into() };
    Bundle { schema_version: SCHEMA_VERSION, namespace, sequence, entries }
}

fn accepted(policies: &[Arc<Policy>]) -> BTreeMap<String, Verdict> {
    policies.iter().map(|policy| (policy.uid.clone(), Verdict::Accepted)).collect()
}

fn policy(name: &str, generation: i64, mode: &str) -> Arc<Policy> {
    Arc::new(mk_policy(name, generation, json!({ "mode": mode })))
}

/// The change that makes these the policies, after nothing.
fn made(sequence: u64, policies: &[Arc<Policy>]) -> Change {
    change(None, &mk_bundle(sequence, policies), "sha256:d", policies, &accepted(policies), false).unwrap()
}

fn records(texts: &Texts, key: &Key) -> Vec<Record> {
    let mut records: Vec<_> = texts.values().map(|text| key.open_record(text).unwrap().0).collect();
    records.sort_by_key(|record| record.sequence);
    records
}

fn sequences(texts: &Texts, key: &Key) -> Vec<u64> {
    records(texts, key).iter().map(|record| record.sequence).collect()
}

#[test]
fn only_what_changes_the_objects_of_the_namespace_is_a_change() {
    let base = |generation| {
        Arc::new(mk_policy_of(
            Kind::ClusterRaspPolicy,
            "base",
            generation,
            json!({ "defaults": { "mode": "Block" } }),
        ))
    };
    let web = |generation| policy("web", generation, "Block");
    let all = [base(1), web(1)];
    for (what, before, after, is_signed_anew, is_change) in [
        ("the first Bundle, without a policy", None, vec![], false, false),
        ("the first Bundle, with one", None, vec![web(1)], false, true),
        ("a policy is made", Some(vec![]), vec![web(1)], false, true),
        ("a policy is edited", Some(vec![web(1)]), vec![web(2)], false, true),
        ("the last one is deleted", Some(vec![web(1)]), vec![], false, true),
        ("one of the cluster is edited", Some(all.to_vec()), vec![base(2), web(1)], false, false),
        ("a target or a rollout moves", Some(all.to_vec()), all.to_vec(), false, false),
        ("the key is exchanged", Some(all.to_vec()), all.to_vec(), true, true),
        ("the key is exchanged where there is no policy", Some(vec![base(1)]), vec![base(1)], true, false),
    ] {
        let before = before.map(|policies: Vec<Arc<Policy>>| mk_bundle(1, &policies));
        let bundle = mk_bundle(2, &after);
        let found = change(before.as_ref(), &bundle, "sha256:d", &after, &accepted(&after), is_signed_anew);
        assert_eq!(found.is_some(), is_change, "{what}");
        let record = found.map(|change| change.record);
        let names: Vec<_> = record.iter().flat_map(|record| &record.objects).map(|o| &*o.name).collect();
        assert!(names.iter().all(|name| *name == "web"), "{what}: {names:?}");
    }
    let mut made_anew = mk_bundle(1, &[web(1)]);
    made_anew.namespace.uid = "another".into();
    let after = [web(1)];
    let found =
        change(Some(&made_anew), &mk_bundle(2, &after), "d", &after, &accepted(&after), false).unwrap();
    assert_eq!(found.before, None, "what a namespace of the same name had is none of its history");
}

#[test]
fn a_policy_that_became_invalid_is_noted_as_the_generation_that_stays_in_force() {
    let key = Key::generate().unwrap();
    let web = policy("web", 1, "Block");
    let texts = revise(&Texts::new(), made(1, &[Arc::clone(&web)]), &key).unwrap().unwrap();
    let (broken, other) = (policy("web", 2, "Monitor"), policy("other", 1, "Off"));
    let new = policy("new", 1, "Off");
    let mut verdicts = accepted(&[Arc::clone(&other)]);
    let invalid = |kept| Verdict::Invalid { message: String::new(), kept };
    verdicts.insert(broken.uid.clone(), invalid(Some(1)));
    verdicts.insert(new.uid.clone(), invalid(None));
    let before = mk_bundle(1, &[Arc::clone(&web)]);
    let bundle = mk_bundle(2, &[Arc::clone(&web), Arc::clone(&other)]);
    let policies = [broken, new, other];
    let found = change(Some(&before), &bundle, "d", &policies, &verdicts, false).unwrap();
    let texts = revise(&texts, found, &key).unwrap().unwrap();
    let newest = records(&texts, &key).pop().unwrap();
    let objects: Vec<_> =
        newest.objects.iter().map(|object| (&*object.name, object.generation, object.spec.clone())).collect();
    let spec = |mode: &str| Some(json!({ "mode": mode }));
    assert_eq!(objects, [("web", 1, spec("Block")), ("other", 1, spec("Off"))]);
}

#[test]
fn a_namespace_without_a_history_gets_what_was_before_its_first_change() {
    let key = Key::generate().unwrap();
    let (before, after) = ([policy("web", 1, "Block")], [policy("web", 2, "Monitor")]);
    let found =
        change(Some(&mk_bundle(1, &before)), &mk_bundle(2, &after), "d", &after, &accepted(&after), false);
    let texts = revise(&Texts::new(), found.clone().unwrap(), &key).unwrap().unwrap();
    let kept = records(&texts, &key);
    assert_eq!(kept.iter().map(|record| record.sequence).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(kept[0].objects[0].spec, Some(json!({ "mode": "Block" })));
    assert_eq!(revise(&texts, found.unwrap(), &key), Ok(None), "and nothing is written twice");
}

#[test]
fn who_goes_back_makes_a_new_record_that_says_to_which() {
    let key = Key::generate().unwrap();
    let mut texts = Texts::new();
    for (sequence, generation, mode) in [(1, 1, "Block"), (2, 2, "Monitor"), (3, 3, "Block")] {
        let change = made(sequence, &[policy("web", generation, mode)]);
        texts = revise(&texts, change, &key).unwrap().unwrap();
    }
    let rollbacks: Vec<_> = records(&texts, &key).iter().map(|record| record.rollback_of).collect();
    assert_eq!(rollbacks, [None, None, Some(1)]);
    let touched = made(4, &[policy("web", 4, "Block")]);
    assert_eq!(revise(&texts, touched, &key), Ok(None), "a generation alone is no other state");
}

#[test]
fn the_oldest_go_first_by_count_and_by_size() {
    let key = Key::generate().unwrap();
    let modes = ["Block", "Monitor"];
    let mut texts = Texts::new();
    for (sequence, mode) in (1_u64..=14).zip(modes.into_iter().cycle()) {
        let change = made(sequence, &[policy("web", 1, mode)]);
        texts = revise(&texts, change, &key).unwrap().unwrap();
    }
    assert_eq!(sequences(&texts, &key), (5..=14).collect::<Vec<_>>());
    assert_eq!(texts.len(), MOST_RECORDS);

    // What cannot be packed well: five of these fit.
    let large = |sequence: u64, bodies: usize| {
        let body = || std::iter::repeat_with(fastrand::alphanumeric).take(8000).collect::<String>();
        let policies: Vec<_> = (0..bodies)
            .map(|number| {
                let spec = json!({ "response": { "body": body() } });
                Arc::new(mk_policy(&format!("p{number}"), 1, spec))
            })
            .collect();
        made(sequence, &policies)
    };
    for sequence in 15..22 {
        texts = revise(&texts, large(sequence, 20), &key).unwrap().unwrap();
        assert!(texts.values().map(String::len).sum::<usize>() <= MOST_BYTES);
    }
    assert_eq!(sequences(&texts, &key), [17, 18, 19, 20, 21]);
    let refused = revise(&texts, large(22, 130), &key);
    assert!(matches!(refused, Err(TooLarge(bytes)) if bytes > MOST_BYTES), "the others stay: {refused:?}");
}

#[test]
fn what_is_not_ours_goes_and_what_a_replaced_key_signed_is_signed_anew() {
    let now = std::time::SystemTime::now();
    let (first, stranger) = (Key::generate().unwrap(), Key::generate().unwrap());
    let second = first.successor(now).unwrap();
    let web = |generation, mode: &str| [policy("web", generation, mode)];
    let mut texts = revise(&Texts::new(), made(1, &web(1, "Block")), &first).unwrap().unwrap();
    let mut elsewhere = made(2, &web(1, "Off")).record;
    elsewhere.namespace.uid = "other-uid".into();
    texts.insert("2".into(), first.seal_record(&elsewhere));
    texts.insert("3".into(), stranger.seal_record(&made(3, &web(1, "Off")).record));
    texts.insert("4".into(), "{}".into());
    // A record that stands under another number is that of its own.
    texts.insert("9".into(), texts["1"].clone());
    let revised = revise(&texts, made(5, &web(1, "Block")), &second).unwrap().unwrap();
    assert_eq!(sequences(&revised, &second), [1], "the state is the same, the signature is not");
    assert!(second.open_record(&revised["1"]).unwrap().1);
    let after = revise(&texts, made(5, &web(1, "Off")), &second.successor(now).unwrap().stranger().unwrap());
    assert_eq!(after.unwrap().unwrap().len(), 1, "after a theft nothing is believed");
}

async fn historian(
    script: impl Fn(&crate::testing::Call) -> (u16, Value) + Send + Sync + 'static,
) -> (Historian, crate::testing::Calls) {
    let (client, calls) = api(move |call| match (call.uri.contains("/secrets"), call.body.is_null()) {
        (true, true) => refusal(404, "NotFound"),
        (true, false) => (201, call.body.clone()),
        _ => script(call),
    });
    let terms = Terms { names: Vec::new(), owned: true };
    let signing =
        Held::<Key>::obtain(Api::namespaced(client.clone(), "kube-rasp"), "s", &terms).await.unwrap();
    calls.lock().unwrap().clear();
    let historian = Historian {
        writer: Writer::new(client, Leadership::for_test(true)),
        signing: Arc::new(signing),
        metrics: Arc::new(Metrics::new().unwrap()),
    };
    (historian, calls)
}

/// Sends one change and lets it be kept; returns the metrics page.
async fn kept(historian: Historian, change: Change) -> String {
    let metrics = Arc::clone(&historian.metrics);
    let (sender, changes) = mpsc::channel(1);
    sender.send(change).await.unwrap();
    drop(sender);
    historian.run(changes).await;
    String::from_utf8(metrics.render(jiff::Timestamp::now())).unwrap()
}

#[tokio::test]
async fn a_change_is_kept_in_the_config_map_of_its_namespace_over_the_version_that_was_read() {
    let (historian, calls) = historian(|call| {
        let mut object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "rasp-policy-history", "namespace": "shop", "resourceVersion": "7" },
        });
        if !call.body.is_null() {
            object["data"] = call.body["data"].clone();
        }
        (200, object)
    })
    .await;
    let page = kept(historian, made(5, &[policy("web", 1, "Block")])).await;
    assert!(page.contains(r#"rasp_reconcile_errors_total{kind="history_write"} 0"#));
    let calls = calls.lock().unwrap();
    let [read, write] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(read.uri, "/api/v1/namespaces/shop/configmaps/rasp-policy-history");
    assert_eq!(write.method, Method::PATCH);
    assert_eq!(write.body["metadata"]["resourceVersion"], "7");
    assert_eq!(write.body["metadata"]["labels"]["app.kubernetes.io/part-of"], "kube-rasp");
    assert!(write.body["data"]["5"].as_str().unwrap().contains("vnd.rasp.history"));
}

#[tokio::test]
async fn a_history_that_cannot_be_written_is_counted_and_a_race_is_tried_again() {
    for (code, reason, calls_made) in [(403, "Forbidden", 2), (409, "Conflict", 6)] {
        let (historian, calls) =
            historian(
                move |call| {
                    if call.body.is_null() { refusal(404, "NotFound") } else { refusal(code, reason) }
                },
            )
            .await;
        let page = kept(historian, made(5, &[policy("web", 1, "Block")])).await;
        assert!(page.contains(r#"rasp_reconcile_errors_total{kind="history_write"} 1"#), "{reason}");
        assert_eq!(calls.lock().unwrap().len(), calls_made, "{reason}");
    }
}

#[test]
fn an_object_of_a_record_is_read_as_it_was_made() {
    let record = made(1, &[policy("web", 3, "Block")]).record;
    let object = Object {
        kind: Kind::RaspPolicy,
        name: "web".into(),
        uid: "web-uid".into(),
        generation: 3,
        spec: Some(json!({ "mode": "Block" })),
    };
    assert_eq!((record.objects, record.time.as_str()), (vec![object], "1970-01-01T00:00:00Z"));
}
