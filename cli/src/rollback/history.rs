//! The history of a namespace: read, verified, and listed. What no key of the operator signed is told and not used.

use std::collections::BTreeMap;

use anyhow::Context as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use rasp_operator::inject::Settings;
use rasp_policy::bundle::{Bundle, Envelope, Refusal};
use rasp_policy::history::{RECORD, Record};
use rasp_policy::pod::HISTORY_CONFIG_MAP;
use serde::Serialize;

use super::plan::changes;
use crate::{cluster, in_force, print};

/// What the policies of a namespace were, and what is in force.
#[derive(Debug)]
pub struct History {
    /// The Bundle that stands in the ConfigMap.
    pub bundle: Bundle,
    /// The oldest first.
    pub records: Vec<Record>,
    /// Keys of what was refused, and why.
    pub refused: Vec<(String, Refusal)>,
}

/// Reads and verifies it. Without the keys of the operator nothing can be believed, so that they are needed.
pub async fn fetch(client: &Client, namespace: &str, operator: &str) -> anyhow::Result<History> {
    let settings = cluster::settings(client, operator)
        .await
        .context("the signatures of the history cannot be checked without the keys of the operator")?;
    let bundle = in_force::fetch(client, namespace, Some(&settings)).await?.bundle;
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let map = cluster::get(&api, HISTORY_CONFIG_MAP).await.map_err(|error| {
        anyhow::anyhow!("cannot read ConfigMap {namespace}/{HISTORY_CONFIG_MAP}: {error}")
    })?;
    Ok(read(&map.and_then(|map| map.data).unwrap_or_default(), bundle, &settings))
}

fn read(texts: &BTreeMap<String, String>, bundle: Bundle, settings: &Settings) -> History {
    let is_signed = in_force::signed_by(settings);
    let (mut records, mut refused) = (BTreeMap::new(), Vec::new());
    for (key, text) in texts {
        let opened = Envelope::open_as(RECORD, text.as_bytes(), |_, message, sig| is_signed(message, sig))
            .and_then(|payload| Record::from_verified(&payload))
            .and_then(|record| {
                if record.namespace == bundle.namespace { Ok(record) } else { Err(Refusal::Namespace) }
            });
        match opened {
            // By the signed sequence: the key is only where it stands.
            Ok(record) => drop(records.insert(record.sequence, record)),
            Err(refusal) => refused.push((print::plain(key), refusal)),
        }
    }
    History { bundle, records: records.into_values().collect(), refused }
}

/// The history, as programs read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    namespace: String,
    /// Of the Bundle in the ConfigMap.
    sequence: u64,
    /// The newest first.
    pub records: Vec<One>,
    /// What was refused.
    pub warnings: Vec<String>,
}

/// One record.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct One {
    sequence: u64,
    time: String,
    digest: String,
    /// The newest that is not younger than the Bundle.
    in_force: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    rollback_of: Option<u64>,
    /// Policies and exceptions.
    objects: usize,
    /// Against the record before; `None` of the oldest that is kept.
    changed: Option<Vec<String>>,
}

/// Columns of [`One::row`].
pub const HEAD: [&str; 6] = ["SEQUENCE", "AGE", "OBJECTS", "STATE", "DIGEST", "CHANGED"];

impl History {
    /// What `--list` shows.
    pub fn listed(&self) -> Listed {
        let sequence = self.bundle.sequence;
        let current = self.records.iter().rev().find(|record| record.sequence <= sequence);
        let current = current.map(|record| record.sequence);
        let before = std::iter::once(None).chain(self.records.iter().map(Some));
        let mut records: Vec<One> = self
            .records
            .iter()
            .zip(before)
            .map(|(record, before)| One {
                sequence: record.sequence,
                time: record.time.clone(),
                digest: record.digest.clone(),
                in_force: current == Some(record.sequence),
                rollback_of: record.rollback_of,
                objects: record.objects.len(),
                changed: before.map(|before| changes(before, record)),
            })
            .collect();
        records.reverse();
        let told = |(key, why): &(String, Refusal)| format!("record {key} is refused: {why}");
        Listed {
            namespace: self.bundle.namespace.name.clone(),
            sequence,
            records,
            warnings: self.refused.iter().map(told).collect(),
        }
    }
}

impl One {
    /// Columns of [`HEAD`].
    pub fn row(&self, now: Timestamp) -> Vec<String> {
        let rollback = self.rollback_of.map(|sequence| format!("back to {sequence}"));
        let state: Vec<String> =
            self.in_force.then(|| "in force".to_owned()).into_iter().chain(rollback).collect();
        let changed = match &self.changed {
            None => "the oldest that is kept".to_owned(),
            Some(changed) => print::some(changed),
        };
        vec![
            self.sequence.to_string(),
            age(&self.time, now),
            self.objects.to_string(),
            if state.is_empty() { "-".to_owned() } else { state.join(", ") },
            self.digest.chars().take("sha256:".len() + 12).collect(),
            print::plain(&changed),
        ]
    }
}

/// How long ago, as kubectl says it.
fn age(time: &str, now: Timestamp) -> String {
    let Ok(time) = time.parse::<Timestamp>() else { return "?".to_owned() };
    let seconds = now.as_second().saturating_sub(time.as_second()).max(0);
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rasp_operator::signing::Key;

    use super::{age, read};
    use crate::rollback::tests::{bundle, record, settings};

    #[test]
    fn only_records_that_the_operator_signed_for_this_namespace_are_believed() {
        let (key, stranger) = (Key::generate().unwrap(), Key::generate().unwrap());
        let (first, second) = (record(1, &[("web", "Block")]), record(2, &[("web", "Off"), ("api", "Off")]));
        let mut elsewhere = second.clone();
        elsewhere.namespace.uid = "another".to_owned();
        let texts = BTreeMap::from([
            ("1".to_owned(), key.seal_record(&first)),
            // Under another number it still is the second.
            ("9".to_owned(), key.seal_record(&second)),
            ("3".to_owned(), stranger.seal_record(&second)),
            ("4".to_owned(), key.seal_record(&elsewhere)),
            ("5".to_owned(), key.seal(&bundle(5)).0),
        ]);
        let history = read(&texts, bundle(4), &settings(&key));
        assert_eq!(history.records, [first, second]);
        let refused: Vec<_> = history.refused.iter().map(|(key, why)| (&**key, why.id())).collect();
        assert_eq!(refused, [("3", "signature"), ("4", "namespace"), ("5", "malformed")]);

        let listed = serde_json::to_value(history.listed()).unwrap();
        assert_eq!(listed["records"][0]["sequence"], 2, "the newest first");
        assert_eq!(listed["records"][0]["inForce"], true);
        assert_eq!(
            listed["records"][0]["changed"],
            serde_json::json!(["made RaspPolicy/api", "changed RaspPolicy/web: mode"])
        );
        assert_eq!(listed["records"][1]["changed"], serde_json::Value::Null);
        assert!(listed["warnings"][0].as_str().unwrap().contains("record 3 is refused: no signature"));
    }

    #[test]
    fn ages_are_short() {
        let now = "2026-11-26T12:00:00Z".parse().unwrap();
        for (time, wanted) in [
            ("2026-11-26T11:58:30Z", "90s"),
            ("2026-11-26T11:30:00Z", "30m"),
            ("2026-11-26T02:00:00Z", "10h"),
            ("2026-11-20T12:00:00Z", "6d"),
            ("2026-11-26T12:01:00Z", "0s"),
            ("nonsense", "?"),
        ] {
            assert_eq!(age(time, now), wanted, "{time}");
        }
    }
}
