//! Reads the objects of a namespace, and writes them as the plan says, with the rights of the caller. Nothing is written over a
//! version that was not seen. Labels and annotations of an object stay; status is none of ours.

use anyhow::Context as _;
use kube::api::{ApiResource, DeleteParams, DynamicObject, PostParams, Preconditions, TypeMeta};
use kube::{Api, Client};
use rasp_policy::api::{API_VERSION, Kind};
use rasp_policy::crd::{RaspException, RaspPolicy};
use serde_json::{Value, json};

use super::plan::{Action, Live, Step};
use crate::cluster;
use crate::fleet::text;

/// Who the API server says has changed the fields.
const FIELD_MANAGER: &str = "raspctl";

/// Kinds of objects that a rollback is about.
const KINDS: [Kind; 2] = [Kind::RaspPolicy, Kind::RaspException];

/// All policies and exceptions of a namespace.
pub async fn live(client: &Client, namespace: &str) -> anyhow::Result<Vec<Live>> {
    let mut all = Vec::new();
    for kind in KINDS {
        let objects = match kind {
            Kind::RaspException => cluster::values::<RaspException>(client, Some(namespace)).await,
            _ => cluster::values::<RaspPolicy>(client, Some(namespace)).await,
        };
        let objects = objects
            .map_err(|error| anyhow::anyhow!("cannot list the {} of {namespace}: {error}", kind.as_str()))?;
        let read = |object: Value| Live { kind, name: text(&object, "/metadata/name").to_owned(), object };
        all.extend(objects.into_iter().map(read));
    }
    Ok(all)
}

/// Does all steps, or lets the API server try them. What fails ends it, and says what was done before.
pub async fn all(client: &Client, namespace: &str, steps: &[Step], dry_run: bool) -> anyhow::Result<()> {
    let writes: Vec<&Step> = steps.iter().filter(|step| step.action.is_a_write()).collect();
    for (done, step) in writes.iter().enumerate() {
        one(client, namespace, step, dry_run).await.with_context(|| {
            let so_far = format!("{done} of {} changes were made; ", writes.len());
            format!("{}cannot {} {}", if dry_run { "" } else { &so_far }, step.action.verb(), step.title())
        })?;
    }
    Ok(())
}

async fn one(client: &Client, namespace: &str, step: &Step, dry_run: bool) -> anyhow::Result<()> {
    let resource = match step.kind {
        Kind::RaspException => ApiResource::erase::<RaspException>(&()),
        _ => ApiResource::erase::<RaspPolicy>(&()),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let post = PostParams { dry_run, field_manager: Some(FIELD_MANAGER.to_owned()) };
    let written = match step.action {
        Action::Change => api.replace(&step.name, &post, &changed(step)?).await.map(drop),
        Action::Recreate => api.create(&post, &made(namespace, step)?).await.map(drop),
        Action::Delete => {
            let field = |pointer| step.live.as_ref().map(|live| text(live, pointer).to_owned());
            let (uid, resource_version) = (field("/metadata/uid"), field("/metadata/resourceVersion"));
            let preconditions = Some(Preconditions { uid, resource_version });
            api.delete(&step.name, &DeleteParams { dry_run, preconditions, ..DeleteParams::default() })
                .await
                .map(drop)
        }
        Action::Keep | Action::Unknown => Ok(()),
    };
    written.map_err(|error| anyhow::anyhow!("{}", cluster::text(&error)))
}

/// The object as it is there, with the spec of then. Its version stays in it, so that a change meanwhile is not lost.
fn changed(step: &Step) -> anyhow::Result<DynamicObject> {
    let mut object = step.live.clone().context("it is not there")?;
    object["spec"] = step.spec.clone().unwrap_or(Value::Null);
    typed(step.kind, object)
}

/// Labels and annotations that it had are not in the history.
fn made(namespace: &str, step: &Step) -> anyhow::Result<DynamicObject> {
    let object = json!({ "metadata": { "name": step.name, "namespace": namespace }, "spec": step.spec });
    typed(step.kind, object)
}

/// Items of a list come without their type.
fn typed(kind: Kind, object: Value) -> anyhow::Result<DynamicObject> {
    let mut object: DynamicObject = serde_json::from_value(object)?;
    object.types = Some(TypeMeta { api_version: API_VERSION.to_owned(), kind: kind.as_str().to_owned() });
    Ok(object)
}
