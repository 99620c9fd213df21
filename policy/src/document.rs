//! Reads RaspPolicy documents from YAML files, strictly: what the API server would prune is an error here.
//!
//! Used where no API server stands before us: the gateway's `--policy FILE` and tests of the examples.

use serde::{Deserialize, Serialize};

use crate::api::{API_VERSION, Inspection, KIND, RaspPolicySpec, Signature, signature, target};

mod object;
pub use object::{Object, Spec, read, refuse_rollouts, stand_alone};

/// A RaspPolicy as it stands in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// Always [`API_VERSION`].
    pub api_version: String,
    /// Always [`KIND`].
    pub kind: String,
    /// Name and namespace; other metadata is not used.
    pub metadata: Metadata,
    /// The policy.
    pub spec: RaspPolicySpec,
}

/// The part of ObjectMeta that matters in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// `metadata.labels`, not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<std::collections::BTreeMap<String, String>>,
    /// `metadata.annotations`, not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<std::collections::BTreeMap<String, String>>,
}

/// Why a file of policies was refused. Documents are counted from 1.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not YAML, or a value of the wrong type.
    #[error("document {index}: {message}")]
    Parse {
        /// Which document.
        index: usize,
        /// What the parser says, with the path of the field.
        message: String,
    },
    /// A field that does not exist; a typing error would otherwise switch protection off.
    #[error(
        "document {index}: unknown field {path}; known fields are listed by `kubectl explain {}.spec`",
        kind.to_lowercase()
    )]
    UnknownField {
        /// Which document.
        index: usize,
        /// Kind of the document.
        kind: String,
        /// Dotted path of the field.
        path: String,
    },
    /// Another kind of object.
    #[error(
        "document {index}: is a {found}; expected {API_VERSION} RaspPolicy, ClusterRaspPolicy or RaspException"
    )]
    Kind {
        /// Which document.
        index: usize,
        /// `apiVersion kind` found.
        found: String,
    },
    /// A value outside its range.
    #[error("document {index}: {message}")]
    Value {
        /// Which document.
        index: usize,
        /// Field, value, and what to do.
        message: String,
    },
    /// A document that means nothing outside of a cluster.
    #[error("document {index}, {name}: {message}")]
    StandAlone {
        /// Which document.
        index: usize,
        /// Its kind and name.
        name: String,
        /// What it asks for, and what to do.
        message: String,
    },
    /// The file holds no document.
    #[error("no document in the file; expected at least one {API_VERSION} {KIND}")]
    Empty,
}

/// Reads every document of a YAML file of RaspPolicies. An empty document (only comments) is skipped.
pub fn parse(yaml: &str) -> Result<Vec<Document>, Error> {
    let mut documents = Vec::new();
    for (index, raw) in serde_yaml::Deserializer::from_str(yaml).enumerate() {
        let index = index + 1;
        let parse_error = |message: String| Error::Parse { index, message };
        // Through JSON values, the form in which the API server sees the object.
        let value = serde_json::Value::deserialize(raw).map_err(|error| parse_error(error.to_string()))?;
        if value.is_null() {
            continue;
        }
        let found = format!(
            "{} {}",
            value["apiVersion"].as_str().unwrap_or("(no apiVersion)"),
            value["kind"].as_str().unwrap_or("(no kind)")
        );
        if found != format!("{API_VERSION} {KIND}") {
            return Err(Error::Kind { index, found });
        }
        let mut unknown = None;
        let document: Document = serde_ignored::deserialize(&value, |path| {
            unknown.get_or_insert_with(|| dotted(&path));
        })
        .map_err(|error| parse_error(error.to_string()))?;
        if let Some(path) = unknown {
            return Err(Error::UnknownField { index, kind: KIND.to_owned(), path });
        }
        document.spec.check().map_err(|message| Error::Value { index, message })?;
        documents.push(document);
    }
    if documents.is_empty() { Err(Error::Empty) } else { Ok(documents) }
}

/// Reads a list of signatures of known exploits, as strictly as policies. An error names the signature.
pub fn signatures(yaml: &str) -> Result<Vec<Signature>, String> {
    let value: serde_json::Value = serde_yaml::from_str(yaml).map_err(|error| error.to_string())?;
    let serde_json::Value::Array(items) = value else { return Err("not a list".into()) };
    let named = |item: serde_json::Value| {
        let id = item.get("id").and_then(serde_json::Value::as_str).unwrap_or("without an id").to_owned();
        let mut unknown = None;
        let read = serde_ignored::deserialize(&item, |path| {
            unknown.get_or_insert_with(|| dotted(&path));
        });
        match (read, unknown) {
            (Err(error), _) => Err(format!("{id}: {error}")),
            (Ok(_), Some(path)) => Err(format!("{id}: unknown field `{path}`")),
            (Ok(signature), None) => Ok(signature),
        }
    };
    items.into_iter().map(named).collect()
}

/// Path of a field as users write it; serde_ignored marks each `Option` on the way with `?`.
pub(crate) fn dotted(path: &serde_ignored::Path<'_>) -> String {
    path.to_string().split('.').filter(|part| *part != "?").collect::<Vec<_>>().join(".")
}

impl RaspPolicySpec {
    /// The ranges that the CRD schema states, for readers that no API server protects.
    pub fn check(&self) -> Result<(), String> {
        target::check(self.pod_selector.is_some(), self.target_refs.as_deref())?;
        for (name, value, range) in self.inspection.iter().flat_map(Inspection::bounds) {
            if let Some(value) = value.filter(|value| !range.contains(value)) {
                let (least, most) = (range.start(), range.end());
                return Err(format!("spec.inspection.{name} is {value}; use {least} to {most}"));
            }
        }
        if let Some(enforcement) = &self.enforcement {
            enforcement.check()?;
        }
        self.check_exceptions()?;
        self.check_signatures()?;
        let Some(response) = &self.response else { return Ok(()) };
        if let Some(status) = response.status
            && !(400..=599).contains(&status)
        {
            return Err(format!("spec.response.status is {status}; use 400 to 599"));
        }
        if let Some(body) = &response.body
            && body.chars().count() > 8192
        {
            return Err("spec.response.body is too long; use at most 8192 characters".into());
        }
        if response.content_type.is_some() && response.body.is_none() {
            return Err(
                "spec.response.contentType is the type of body: set body as well, or remove contentType"
                    .into(),
            );
        }
        if let Some(content_type) = &response.content_type
            && (content_type.len() > 128
                || !content_type.bytes().all(|b| (0x20..0x7f).contains(&b))
                || !content_type.contains('/'))
        {
            return Err(
                "spec.response.contentType is not a media type; use for example text/html; charset=utf-8"
                    .into(),
            );
        }
        Ok(())
    }

    fn check_signatures(&self) -> Result<(), String> {
        let signatures = self.signatures.as_deref().unwrap_or_default();
        if signatures.len() > signature::MOST {
            return Err(format!(
                "spec.signatures has {} items; use at most {}",
                signatures.len(),
                signature::MOST
            ));
        }
        let mut ids = std::collections::BTreeSet::new();
        for (index, signature) in signatures.iter().enumerate() {
            signature.check().map_err(|message| format!("spec.signatures[{index}].{message}"))?;
            if !ids.insert(&signature.id) {
                return Err(format!(
                    "spec.signatures[{index}].id is {} for the second time; use one id once",
                    signature.id
                ));
            }
        }
        Ok(())
    }

    fn check_exceptions(&self) -> Result<(), String> {
        let exceptions = self.exceptions.as_deref().unwrap_or_default();
        if exceptions.len() > 64 {
            return Err(format!("spec.exceptions has {} items; use at most 64", exceptions.len()));
        }
        let mut names = std::collections::BTreeSet::new();
        for (index, exception) in exceptions.iter().enumerate() {
            exception.check().map_err(|message| format!("spec.exceptions[{index}].{message}"))?;
            if !names.insert(&exception.name) {
                return Err(format!(
                    "spec.exceptions[{index}].name is {} for the second time; use one name once",
                    exception.name
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    const HEAD: &str = "apiVersion: rasp.dev/v1alpha1\nkind: RaspPolicy\nmetadata: {name: a}\n";

    #[test]
    fn reads_every_document_and_skips_empty_ones() {
        let yaml = format!("# only a comment\n---\n{HEAD}spec: {{mode: Block}}\n---\n{HEAD}spec: {{}}\n");
        let documents = parse(&yaml).unwrap();
        assert_eq!(documents.len(), 2);
        assert_eq!(documents[0].spec.mode, Some(crate::api::Mode::Block));
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let table = [
            ("spec: {mood: Block}", "unknown field spec.mood"),
            (
                "spec: {detections: {sqlInjection: {mode: Block, confidence: High}}}",
                "spec.detections.sqlInjection.confidence",
            ),
            ("spec: {mode: Blok}", "unknown variant `Blok`, expected one of `Off`, `Monitor`, `Block`"),
            ("spec: {response: {status: 200}}", "spec.response.status is 200; use 400 to 599"),
            ("spec: {response: {contentType: text/html}}", "set body as well"),
            ("spec: {response: {body: x, contentType: html}}", "not a media type"),
            (
                r#"spec: {response: {body: x, contentType: "text/html\r\nset-cookie: a=b"}}"#,
                "not a media type",
            ),
            ("spec: {inspection: {maxBodyBytes: 1}}", "spec.inspection.maxBodyBytes is 1; use 1024"),
            ("spec: {inspection: {maxDepth: 1000}}", "spec.inspection.maxDepth is 1000; use 8 to 128"),
            (
                "spec: {inspection: {maxDecompressionRatio: 1}}",
                "spec.inspection.maxDecompressionRatio is 1; use 2",
            ),
            ("spec: {exceptions: [{name: a, reason: r}]}", "spec.exceptions[0].rule and class are missing"),
            (
                "spec: {exceptions: [{name: a, rule: x, reason: r}, {name: a, rule: y, reason: r}]}",
                "spec.exceptions[1].name is a for the second time",
            ),
            (
                "spec: {exceptions: [{name: a, rule: x, reason: r, until: tomorrow}]}",
                "spec.exceptions.0.until",
            ),
            ("spec: {exceptions: [{name: a, rule: x}]}", "missing field `reason`"),
            (
                "spec: {podSelector: {}, targetRefs: [{kind: Service, name: a}]}",
                "spec.targetRefs is set beside podSelector",
            ),
            ("spec: {targetRefs: []}", "spec.targetRefs has 0 items; use 1 to 16"),
            ("spec: {targetRefs: [{kind: Pod, name: a}]}", "unknown variant `Pod`"),
            ("spec: {targetRefs: [{kind: Service, name: A}]}", "spec.targetRefs[0].name is not one"),
            (
                "spec: {targetRefs: [{kind: Service, name: a, sectionName: '80_'}]}",
                "spec.targetRefs[0].sectionName is not the name of a port",
            ),
            (
                "spec: {targetRefs: [{group: apps, kind: Service, name: a}]}",
                "spec.targetRefs[0].group is not that of a Service: use \"\"",
            ),
            ("spec: {signatures: [{id: local-a}]}", "missing field `cve`"),
            (
                "spec: {signatures: [{id: exploit-a, cve: CVE-2026-1, date: 2026-11-26, title: T, confidence: High, \
                 attacks: [GET /], ordinary: [GET /]}]}",
                "spec.signatures[0].id is not one: use local-",
            ),
            (
                "spec: {signatures: [{id: local-a, cve: CVE-2026-1, date: 2026-11-26, title: T, confidence: High, \
                 paths: [], attacks: [GET /], ordinary: [GET /]}]}",
                "unknown field spec.signatures.0.paths",
            ),
            (
                "spec: {signatures: [{id: local-a, cve: CVE-2026-1, date: 2026-11-26, title: T, confidence: High, \
                 attacks: [], ordinary: [GET /]}]}",
                "spec.signatures[0].attacks is not right; give 1 to 8",
            ),
        ];
        for (spec, expected) in table {
            let error = parse(&format!("{HEAD}{spec}\n")).unwrap_err().to_string();
            assert!(error.contains(expected), "{spec}: {error}");
        }
        let error = parse("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n").unwrap_err().to_string();
        assert!(error.contains("is a v1 Pod"), "{error}");
        assert!(parse("# nothing\n").unwrap_err().to_string().contains("no document"));
    }
}
