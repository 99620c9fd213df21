//! Why a field has its value on one port of one pod: who decided it, at which level, and who said something else.
//! For people: `raspctl explain policy` prints it, and it serialises as JSON. Nothing decides by it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Effective, Field, Level, resolve_at};
use crate::api::{Kind, RaspPolicySpec};
use crate::bundle::{Bundle, Entry};
use crate::selector::Subject;

/// Every field that a policy says something about, and those that always matter, for one port of one pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The port; `None`: every port that no policy names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The fields, in the order of the API.
    pub fields: Vec<Explained>,
}

/// One field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// Its path, as in a RaspPolicy.
    pub field: String,
    /// The value in force.
    pub value: Value,
    /// Who decided it; several for a list, nobody where the value is built in.
    pub decided_by: Vec<Decider>,
    /// Who said something about it and lost.
    pub overridden: Vec<Decider>,
}

/// A policy and what it says about a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decider {
    /// Kind of the object.
    pub kind: Kind,
    /// Its namespace; `None` for a ClusterRaspPolicy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// How specific it is here.
    pub level: Level,
    /// What it says.
    pub value: Value,
}

/// Explains what [`resolve_at`] decides.
pub fn explain(bundle: &Bundle, subject: Subject<'_>, port: Option<u16>) -> Explanation {
    let resolution = resolve_at(bundle, subject, port);
    let deciders = |list: &[(Field, usize)], field: Field| -> Vec<Decider> {
        let indices = list.iter().filter(|(of, _)| *of == field).map(|&(_, index)| index);
        indices.filter_map(|index| decider(bundle, index, field, &resolution.selected)).collect()
    };
    let mut fields = Vec::new();
    for field in Field::all() {
        let (decided_by, overridden) =
            (deciders(&resolution.winners, field), deciders(&resolution.losers, field));
        let of_class = matches!(field, Field::ClassMode(_) | Field::ClassMinConfidence(_));
        if of_class && decided_by.is_empty() && overridden.is_empty() {
            continue;
        }
        let (path, value) = (field.path().into_owned(), in_force(&resolution.effective, field));
        fields.push(Explained { field: path, value, decided_by, overridden });
    }
    Explanation { port, fields }
}

fn decider(bundle: &Bundle, index: usize, field: Field, selected: &[(Level, usize)]) -> Option<Decider> {
    let Entry { source, spec, kind, .. } = bundle.entries.get(index)?;
    Some(Decider {
        kind: *kind,
        namespace: (*kind != Kind::ClusterRaspPolicy).then(|| bundle.namespace.name.clone()),
        name: source.name.clone(),
        level: selected.iter().find(|(_, known)| *known == index).map_or(Level::Builtin, |(level, _)| *level),
        value: written(spec, field),
    })
}

/// What a policy says: the path of a field is that of the object.
fn written(spec: &RaspPolicySpec, field: Field) -> Value {
    let path = field.path().replace('.', "/");
    let spec = serde_json::to_value(spec).unwrap_or_default(); // plain structs with string keys always serialise
    path.strip_prefix("spec").and_then(|pointer| spec.pointer(pointer)).cloned().unwrap_or_default()
}

fn in_force(effective: &Effective, field: Field) -> Value {
    match field {
        Field::Mode => json!(effective.mode),
        Field::Enforcement => json!(effective.enforcement.written()),
        Field::FailureMode => json!(effective.failure_mode),
        Field::ClassMode(class) => json!(effective.detection(class).mode),
        Field::ClassMinConfidence(class) => json!(effective.detection(class).min_confidence),
        Field::MaxBodyBytes => json!(effective.max_body_bytes),
        Field::MaxDepth => json!(effective.max_depth),
        Field::MaxValues => json!(effective.max_values),
        Field::MaxMultipartParts => json!(effective.max_multipart_parts),
        Field::MaxDecompressionRatio => json!(effective.max_decompression_ratio),
        Field::MaxDecompressedBytes => json!(effective.max_decompressed_bytes),
        Field::RawTarget => json!(effective.raw_target),
        Field::ResponseStatus => json!(effective.response_status),
        Field::ResponseBody => json!(effective.response_body.as_ref().map(|body| &body.text)),
        Field::Exceptions => effective.exceptions.iter().map(|exception| exception.id.as_str()).collect(),
        Field::Signatures => effective.signatures.iter().map(|signature| signature.id.as_str()).collect(),
    }
}
