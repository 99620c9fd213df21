//! Requests and limits of our two containers. They are the operator's, changed by what the pod's annotations ask for, and
//! by the pod where ours would change what it is: its QoS class, or a budget of its own. Pure.

use rasp_policy::pod;
use serde_json::{Map, Value, json};

use super::pod::{Container, Pod};
use super::{Resources, Settings, quantity};

/// What annotations ask for, as they write it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) cpu_request: Option<String>,
    pub(super) cpu_limit: Option<String>,
    pub(super) memory_request: Option<String>,
    pub(super) memory_limit: Option<String>,
}

impl Asked {
    /// The amount that an annotation asks for.
    pub(super) fn of(&mut self, key: &str) -> &mut Option<String> {
        match key {
            pod::PROXY_CPU_REQUEST => &mut self.cpu_request,
            pod::PROXY_CPU_LIMIT => &mut self.cpu_limit,
            pod::PROXY_MEMORY_REQUEST => &mut self.memory_request,
            _ => &mut self.memory_limit,
        }
    }

    /// `cpu` or `memory`, where more is requested than the limit that is asked for.
    pub(super) fn over_its_limit(&self) -> Option<&'static str> {
        let is_over = |request: &Option<String>, limit: &Option<String>| match (request, limit) {
            (Some(request), Some(limit)) => exceeds(request, limit),
            _ => false,
        };
        if is_over(&self.cpu_request, &self.cpu_limit) {
            return Some("cpu");
        }
        is_over(&self.memory_request, &self.memory_limit).then_some("memory")
    }
}

/// `resources` of both containers, and what the pod's author should know of them.
pub(super) fn of(pod: &Pod<'_>, asked: &Asked, settings: &Settings) -> (Value, Option<String>) {
    if has_a_budget(pod) {
        let told =
            "spec.resources bounds the sidecar too, which has no requests and limits of its own".to_owned();
        return (within_the_budget(asked), Some(told));
    }
    let Resources { cpu_request, cpu_limit, memory_request, memory_limit } = &settings.resources;
    let mut cpu = Pair::of((cpu_request, cpu_limit), (&asked.cpu_request, &asked.cpu_limit));
    let mut memory = Pair::of((memory_request, memory_limit), (&asked.memory_request, &asked.memory_limit));
    let mut told = None;
    if is_guaranteed(pod) {
        let raised = [
            cpu.request_the_limit(asked.cpu_request.as_ref()),
            memory.request_the_limit(asked.memory_request.as_ref()),
        ];
        told = if cpu.is_guaranteed() && memory.is_guaranteed() {
            raised.contains(&true).then(|| {
                format!(
                    "the sidecar requests its limits, cpu {} and memory {}, so that the pod stays Guaranteed: change them \
                     with config.rasp.dev/proxy-cpu-limit and proxy-memory-limit",
                    cpu.limit, memory.limit
                )
            })
        } else {
            Some(
                "the pod is no longer Guaranteed: annotations request less for the sidecar than its limits"
                    .to_owned(),
            )
        };
    }
    let value = json!({
        "requests": {"cpu": cpu.request, "memory": memory.request},
        "limits": {"cpu": cpu.limit, "memory": memory.limit},
    });
    (value, told)
}

/// A request and a limit.
struct Pair {
    request: String,
    limit: String,
}

impl Pair {
    /// What is asked for stands; of the two, the one that nobody asked for gives way.
    fn of(default: (&String, &String), asked: (&Option<String>, &Option<String>)) -> Self {
        let request = asked.0.as_ref().unwrap_or(default.0).clone();
        let limit = asked.1.as_ref().unwrap_or(default.1).clone();
        if !exceeds(&request, &limit) {
            Self { request, limit }
        } else if asked.0.is_some() {
            Self { limit: request.clone(), request }
        } else {
            Self { request: limit.clone(), limit }
        }
    }

    /// Unless somebody asked for another request; whether that changed anything.
    fn request_the_limit(&mut self, asked: Option<&String>) -> bool {
        let raises = asked.is_none() && !self.is_guaranteed();
        if raises {
            self.request.clone_from(&self.limit);
        }
        raises
    }

    fn is_guaranteed(&self) -> bool {
        is_same(&self.request, &self.limit)
    }
}

fn exceeds(request: &str, limit: &str) -> bool {
    match (quantity::parse(request), quantity::parse(limit)) {
        (Some(request), Some(limit)) => request > limit,
        _ => false,
    }
}

fn is_same(one: &str, other: &str) -> bool {
    one == other || quantity::parse(one).is_some_and(|one| quantity::parse(other) == Some(one))
}

/// Whether the pod has resources for all of its containers together (Kubernetes 1.34). What ours request would count
/// against them, and the API server refuses a pod whose containers request more than that.
fn has_a_budget(pod: &Pod<'_>) -> bool {
    let lists =
        |name| pod.spec("resources").and_then(|resources| resources.get(name)).and_then(Value::as_object);
    ["requests", "limits"].into_iter().any(|name| lists(name).is_some_and(|list| !list.is_empty()))
}

fn within_the_budget(asked: &Asked) -> Value {
    let list = |cpu: &Option<String>, memory: &Option<String>| -> Map<String, Value> {
        let named = [("cpu", cpu), ("memory", memory)].into_iter();
        named.filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?)))).collect()
    };
    let mut resources = Map::new();
    for (name, list) in [
        ("requests", list(&asked.cpu_request, &asked.memory_request)),
        ("limits", list(&asked.cpu_limit, &asked.memory_limit)),
    ] {
        if !list.is_empty() {
            resources.insert(name.to_owned(), list.into());
        }
    }
    resources.into()
}

/// Whether the pod would be of the QoS class Guaranteed without us: every container has limits of both, and requests the
/// same. The API server has filled in the requests that are left out.
fn is_guaranteed(pod: &Pod<'_>) -> bool {
    let mut containers = pod.foreign_containers().peekable();
    containers.peek().is_some()
        && containers.all(|container| ["cpu", "memory"].iter().all(|name| is_exact(container, name)))
}

fn is_exact(container: Container<'_>, name: &str) -> bool {
    let value = |list| {
        let value = container.value().get("resources")?.get(list)?.get(name)?;
        value.as_str().map(str::to_owned).or_else(|| value.as_number().map(ToString::to_string))
    };
    match (value("requests"), value("limits")) {
        (Some(request), Some(limit)) => is_same(&request, &limit),
        (None, Some(_)) => true,
        (_, None) => false,
    }
}
