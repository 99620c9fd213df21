//! Reads the objects of a namespace, and writes them as the plan says, with the rights of the caller. Nothing is written over a
//! spec that was not seen. The operator writes the status of an object at any time, also while somebody reads what would
//! change: that is another version of the object, and no change of it. Labels and annotations stay; status is none of ours.

use anyhow::{Context as _, ensure};
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
/// How often an object is tried whose status was written in between.
const ATTEMPTS: usize = 5;

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
    match step.action {
        Action::Change | Action::Delete => over(&api, step, &post).await,
        Action::Recreate => api.create(&post, &made(namespace, step)?).await.map(drop).map_err(|e| told(&e)),
        Action::Keep | Action::Unknown => Ok(()),
    }
}

fn told(error: &kube::Error) -> anyhow::Error {
    anyhow::anyhow!("{}", cluster::text(error))
}

/// Writes over what is there, or deletes it, if it says what it said when it was looked at.
async fn over(api: &Api<DynamicObject>, step: &Step, post: &PostParams) -> anyhow::Result<()> {
    let mut left = ATTEMPTS;
    loop {
        let found = api.get(&step.name).await.map_err(|error| told(&error))?;
        ensure!(
            is_as_seen(step, &found),
            "somebody has changed it meanwhile: begin again, and see what would change"
        );
        left -= 1;
        let written = match step.action {
            Action::Delete => api.delete(&step.name, &only(&found, post.dry_run)).await.map(drop),
            _ => api.replace(&step.name, post, &changed(step, found)).await.map(drop),
        };
        match written {
            Err(kube::Error::Api(status)) if status.code == 409 && left > 0 => {}
            written => return written.map_err(|error| told(&error)),
        }
    }
}

/// The generation of an object counts what its spec has been.
fn is_as_seen(step: &Step, found: &DynamicObject) -> bool {
    let seen = |field| step.live.as_ref().and_then(|live| live.get("metadata")?.get(field));
    seen("uid").and_then(Value::as_str) == found.metadata.uid.as_deref()
        && seen("generation").and_then(Value::as_i64) == found.metadata.generation
}

/// Deletes this version of the object.
fn only(found: &DynamicObject, dry_run: bool) -> DeleteParams {
    let (uid, resource_version) = (found.metadata.uid.clone(), found.metadata.resource_version.clone());
    let preconditions = Some(Preconditions { uid, resource_version });
    DeleteParams { dry_run, preconditions, ..DeleteParams::default() }
}

/// The object as it is there, with the spec of then. Its version stays in it, so that a change meanwhile is not lost.
fn changed(step: &Step, found: DynamicObject) -> DynamicObject {
    let mut object = found;
    object.data["spec"] = step.spec.clone().unwrap_or(Value::Null);
    object
}

/// Labels and annotations that it had are not in the history.
fn made(namespace: &str, step: &Step) -> anyhow::Result<DynamicObject> {
    let object = json!({ "metadata": { "name": step.name, "namespace": namespace }, "spec": step.spec });
    let mut object: DynamicObject = serde_json::from_value(object)?;
    let (api_version, kind) = (API_VERSION.to_owned(), step.kind.as_str().to_owned());
    object.types = Some(TypeMeta { api_version, kind });
    Ok(object)
}

#[cfg(test)]
mod tests;
