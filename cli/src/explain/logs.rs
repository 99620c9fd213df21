//! Finds the events of a request: in the logs of sidecars, or in a file. Bounded: a time, so many bytes of each log, so many
//! logs at once. A request that passes several protected pods has events in each, so every log is read to its end.

use std::io::BufRead;
use std::path::Path;

use anyhow::Context as _;
use futures::{AsyncBufReadExt as _, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use rasp_policy::pod::PROXY_CONTAINER;

use super::event::Event;
use crate::args;
use crate::cluster::{Cluster, list, text};

/// Bytes of one log.
const MOST: i64 = 64 << 20;
/// Logs that are read at once.
const AT_ONCE: usize = 8;

/// What was found, and where was looked.
#[derive(Debug, Default)]
pub struct Found {
    /// In the order of time.
    pub events: Vec<Event>,
    /// Pods whose logs were read.
    pub pods: usize,
    /// Logs that could not be read, or not all of them.
    pub unread: Vec<String>,
}

/// Looks into a file, or standard input.
pub fn in_file(path: &Path, request_id: &str) -> anyhow::Result<Found> {
    let context = || format!("cannot read {}", path.display());
    let reader: Box<dyn BufRead> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::io::BufReader::new(std::fs::File::open(path).with_context(context)?))
    };
    let mut found = Found::default();
    for line in reader.split(b'\n') {
        let line = line.with_context(context)?;
        found.events.extend(Event::of(&String::from_utf8_lossy(&line), request_id));
    }
    found.events.sort_by_key(|event| event.time);
    Ok(found)
}

/// Looks into the logs of all sidecars of one namespace, or of all.
pub async fn in_cluster(cluster: &Cluster, args: &args::ExplainRequest, id: &str) -> anyhow::Result<Found> {
    let client = &cluster.client;
    let pods: Api<Pod> = if args.all_namespaces {
        Api::all(client.clone())
    } else {
        Api::namespaced(client.clone(), args.namespace.as_ref().unwrap_or(&cluster.namespace))
    };
    let pods = list(&pods, "").await.map_err(anyhow::Error::msg).context("cannot list pods")?;
    let since = i64::try_from(args.since.as_secs()).unwrap_or(i64::MAX).max(1);
    let reads = pods.iter().filter(|pod| has_sidecar(pod)).flat_map(|pod| {
        let place = (
            pod.metadata.namespace.clone().unwrap_or_default(),
            pod.metadata.name.clone().unwrap_or_default(),
        );
        // What a sidecar wrote before it was started anew is kept once.
        let previous = was_restarted(pod).then(|| (place.clone(), true));
        std::iter::once((place, false)).chain(previous)
    });
    let reads: Vec<_> = reads.collect();
    let count = reads.iter().filter(|(_, previous)| !previous).count();
    let results = futures::stream::iter(reads)
        .map(async |((namespace, name), previous)| {
            let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
            let result = in_log(&api, &name, previous, since, id).await;
            (format!("{namespace}/{name}"), result)
        })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    let mut found = Found { pods: count, ..Found::default() };
    for (name, result) in results {
        match result {
            Ok((events, whole)) => {
                found.events.extend(events);
                if !whole {
                    found.unread.push(format!("{name}: the log is longer than 64 MiB, shorten --since"));
                }
            }
            Err(error) => found.unread.push(format!("{name}: {error}")),
        }
    }
    found.events.sort_by_key(|event| event.time);
    Ok(found)
}

/// The events of one log, and whether all of it was read.
async fn in_log(
    pods: &Api<Pod>,
    name: &str,
    previous: bool,
    since: i64,
    id: &str,
) -> Result<(Vec<Event>, bool), String> {
    let parameters = LogParams {
        container: Some(PROXY_CONTAINER.to_owned()),
        previous,
        since_seconds: Some(since),
        limit_bytes: Some(MOST),
        ..LogParams::default()
    };
    let stream = pods.log_stream(name, &parameters).await.map_err(|error| text(&error))?;
    let mut lines = stream.lines();
    let (mut events, mut bytes) = (Vec::new(), 0);
    while let Some(line) = lines.try_next().await.map_err(|error| error.to_string())? {
        bytes += line.len() + 1;
        events.extend(Event::of(&line, id));
    }
    Ok((events, i64::try_from(bytes).is_ok_and(|bytes| bytes < MOST)))
}

fn has_sidecar(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    let lists = spec.map(|spec| (spec.init_containers.as_deref().unwrap_or_default(), &spec.containers));
    lists.is_some_and(|(init, containers)| {
        init.iter().chain(containers).any(|container| container.name == PROXY_CONTAINER)
    })
}

fn was_restarted(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let lists = status.map(|status| [&status.init_container_statuses, &status.container_statuses]);
    let mut states = lists.into_iter().flatten().flatten().flatten();
    states.any(|state| state.name == PROXY_CONTAINER && state.restart_count > 0)
}
