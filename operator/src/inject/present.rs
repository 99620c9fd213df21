//! Tells a pod that is injected already from one that only looks like it, and from one that was injected by another version
//! or with other settings. What decides about protection must be as injection adds it now; what other webhooks may add (an
//! environment variable, a mount) is accepted.

use rasp_policy::pod::{
    CONFIG_VOLUME, INIT_CONTAINER, PROXY_CONTAINER, PortProtocols, Probe, RUN_VOLUME, ServedPorts,
    TLS_VOLUME_PREFIX, env,
};
use serde_json::Value;

use super::Settings;
use super::container::Rendered;
use super::pod::{Container, Pod};
use super::reason::Reason;
use crate::text;

/// Enough for the longest name there is, and what is said about it.
const MAX_DIFFERENCE: usize = 128;

const VOLUMES: [&str; 2] = [CONFIG_VOLUME, RUN_VOLUME];
/// Our containers, and the argument that each is started with, in every version.
const CONTAINERS: [(&str, &str); 2] = [(INIT_CONTAINER, "init"), (PROXY_CONTAINER, "sidecar")];

/// What of our volumes a name stands for.
fn our_volume(name: &str) -> Option<&'static str> {
    let tls = || name.starts_with(TLS_VOLUME_PREFIX).then_some(TLS_VOLUME_PREFIX);
    VOLUMES.into_iter().find(|known| *known == name).or_else(tls)
}

/// Whether a volume is called like one of ours.
pub(super) fn is_our_volume(volume: &Value) -> bool {
    our_volume(name(volume)).is_some()
}

/// Whether a container, a volume or the mount of one has a name of ours.
pub(super) fn uses_our_names(pod: &Pod<'_>) -> bool {
    pod.containers().any(Container::has_our_name)
        || pod.list("volumes").any(is_our_volume)
        || foreign_mount(pod).is_some()
}

/// Something with a name of ours is not of our making in any version: its author has to rename it, since what is not ours
/// is neither trusted nor replaced.
pub(super) fn foreign(pod: &Pod<'_>) -> Result<(), Reason> {
    // Parts of it are names that nobody has looked at yet.
    let differs = |name, difference: String| {
        Err(Reason::NameInUse { name, difference: text::line(&difference, MAX_DIFFERENCE) })
    };
    if let Some((name, container)) = foreign_mount(pod) {
        return differs(name, format!("container {} mounts it", container.name()));
    }
    let mut is_injected = false;
    for (name, argument) in CONTAINERS {
        if pod.list("containers").any(|container| is_named(container, name)) {
            return differs(name, "it is no init container".to_owned());
        }
        for container in pod.list("initContainers").filter(|container| is_named(container, name)) {
            let args: Vec<_> = elements(container, "args").collect();
            if !matches!(&*args, [only] if *only == argument) {
                return differs(name, "args".to_owned());
            }
            is_injected = true;
        }
    }
    match pod.list("volumes").find_map(|volume| our_volume(self::name(volume))) {
        Some(name) if !is_injected => differs(name, "no container of ours is there".to_owned()),
        _ => Ok(()),
    }
}

/// In what the containers and volumes that are there differ from what would be added now: a name, and what of it.
pub(super) fn difference(
    pod: &Pod<'_>,
    rendered: &Rendered,
    settings: &Settings,
) -> Option<(&'static str, String)> {
    for (name, wanted) in [(INIT_CONTAINER, rendered.init.as_ref()), (PROXY_CONTAINER, Some(&rendered.proxy))]
    {
        let difference = match (named(pod, "initContainers", name), wanted) {
            (None, None) => None,
            (Some(_), None) => Some("it is not needed".to_owned()),
            (None, Some(_)) => Some("it is missing".to_owned()),
            (Some(found), Some(wanted)) => container(found, wanted, settings),
        };
        if let Some(difference) = difference {
            return Some((name, difference));
        }
    }
    rendered.volumes.iter().find_map(|wanted| {
        let ours = our_volume(name(wanted)).unwrap_or_default();
        match named(pod, "volumes", name(wanted)) {
            None => Some((ours, "it is missing".to_owned())),
            Some(found) => (!contains(found, wanted)).then(|| (ours, "another volume".to_owned())),
        }
    })
}

/// The token for reports and the control socket are for the sidecar alone. A mount can be written before the volume
/// exists, because the API server checks that only after injection.
fn foreign_mount<'a>(pod: &Pod<'a>) -> Option<(&'static str, Container<'a>)> {
    pod.foreign_containers().find_map(|container| {
        let mut mounts = elements(container.value(), "volumeMounts");
        mounts.find_map(|mount| our_volume(name(mount))).map(|name| (name, container))
    })
}

fn is_named(value: &Value, expected: &str) -> bool {
    value.get("name").and_then(Value::as_str) == Some(expected)
}

fn name(value: &Value) -> &str {
    value.get("name").and_then(Value::as_str).unwrap_or_default()
}

fn named<'a>(pod: &Pod<'a>, list: &str, name: &str) -> Option<&'a Value> {
    pod.list(list).find(|value| is_named(value, name))
}

/// What of a container that decides about protection is not as it is wanted.
fn container(found: &Value, wanted: &Value, settings: &Settings) -> Option<String> {
    for member in ["image", "args", "restartPolicy", "securityContext"] {
        let same = match (found.get(member), wanted.get(member)) {
            // A mirror of the registry, written there by another webhook.
            (Some(Value::String(image)), _)
                if member == "image" && settings.allowed_images.contains(image) =>
            {
                true
            }
            (Some(found), Some(wanted)) => contains(found, wanted),
            (found, None) => found.is_none_or(Value::is_null),
            (None, Some(_)) => false,
        };
        if !same {
            return Some(member.to_owned());
        }
    }
    // `command` would replace the entry point, `envFrom` could set what `env` leaves open.
    for member in ["command", "envFrom"] {
        if found.get(member).and_then(Value::as_array).is_some_and(|list| !list.is_empty()) {
            return Some(member.to_owned());
        }
    }
    let mut mounts = elements(wanted, "volumeMounts");
    if !mounts.all(|wanted| elements(found, "volumeMounts").any(|found| contains(found, wanted))) {
        return Some("volumeMounts".to_owned());
    }
    environment(found, wanted)
}

/// The name of a variable that is not as it is wanted. Of two variables with one name kubelet takes the last.
fn environment(found: &Value, wanted: &Value) -> Option<String> {
    let name = |variable: &Value| variable.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    for wanted in elements(wanted, "env") {
        let name = name(wanted);
        let mut same_name = elements(found, "env").filter(|variable| is_named(variable, &name));
        let is_accepted = match (same_name.next(), same_name.next()) {
            (Some(found), None) => variable(&name, found, wanted),
            (None, None) => name == env::NAMESPACE_UID,
            _ => false,
        };
        if !is_accepted {
            return Some(format!("env {name}"));
        }
    }
    let wanted_names: Vec<String> = elements(wanted, "env").map(name).collect();
    elements(found, "env")
        .map(name)
        .find(|name| name.starts_with("RASP_") && name != env::NAMESPACE_UID && !wanted_names.contains(name))
        .map(|name| format!("env {name}"))
}

/// Whether a variable is as wanted, or as another replica or an earlier round of the same admission may have set it.
fn variable(name: &str, found: &Value, wanted: &Value) -> bool {
    let text = |value: &Value| value.get("value").and_then(Value::as_str).unwrap_or_default().to_owned();
    let probes = |value: &Value| serde_json::from_str::<Vec<Probe>>(&text(value)).ok();
    let protocols = |value: &Value| text(value).parse::<PortProtocols>().ok();
    let served = |value: &Value| text(value).parse::<ServedPorts>().ok();
    let is_literal = found.get("valueFrom").is_none_or(Value::is_null);
    match name {
        // Replicas see a new Bundle at different times.
        env::SEQUENCE_FLOOR => text(found).parse::<u64>().is_ok(),
        env::FAILURE_MODE => text(found) == text(wanted) || text(found) == "Closed",
        // Another webhook may have added a container with a probe since.
        env::PROBES => match (probes(found), probes(wanted)) {
            (Some(found), Some(wanted)) => found.iter().all(|probe| wanted.contains(probe)),
            _ => false,
        },
        // Or one with a named port.
        env::PORT_PROTOCOLS => match (protocols(found), protocols(wanted)) {
            (Some(found), Some(wanted)) => is_literal && found.is_part_of(&wanted),
            _ => false,
        },
        env::SERVED_PORTS => match (served(found), served(wanted)) {
            (Some(found), Some(wanted)) => {
                let wanted: Vec<u16> = wanted.applications().collect();
                is_literal && !found.is_empty() && found.applications().all(|port| wanted.contains(&port))
            }
            _ => false,
        },
        // The API server drops an empty value from the pod it hands on.
        _ if wanted.get("value").and_then(Value::as_str) == Some("") => text(found).is_empty() && is_literal,
        _ => contains(found, wanted),
    }
}

fn elements<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// Whether everything in `wanted` is in `found`. The API server fills in defaults, so `found` may hold more members;
/// lists must have the same length.
fn contains(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            wanted.iter().all(|(key, wanted)| found.get(key).is_some_and(|found| contains(found, wanted)))
        }
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len()
                && found.iter().zip(wanted).all(|(found, wanted)| contains(found, wanted))
        }
        (found, wanted) => found == wanted,
    }
}
