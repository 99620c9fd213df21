//! Reads corpora: one JSON object a line, plain or compressed with xz.
//!
//! A line has `id`, `label` (`attack` or `benign`), `category`, `method`, `uri`, `headers` (a value or a list of values
//! for each name) and `body` or `body_b64`; or `raw_b64`, the whole request as it is. `exact` adds no field to it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::Value;

/// Whether a request is meant well.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// It is not.
    Attack,
    /// It is.
    Benign,
}

/// One request of a corpus.
#[derive(Clone, Debug, Deserialize)]
pub struct Record {
    /// Unique in its corpus.
    pub id: String,
    /// What it is.
    pub label: Label,
    /// Kind of attack, or of traffic.
    #[serde(default)]
    pub category: String,
    #[serde(default)]
    method: String,
    #[serde(default)]
    uri: String,
    #[serde(default)]
    headers: BTreeMap<String, OneOrMore>,
    body: Option<String>,
    body_b64: Option<String>,
    raw_b64: Option<String>,
    #[serde(default)]
    exact: bool,
    /// Everything else, by which parts of a corpus are told apart.
    #[serde(flatten)]
    pub notes: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// A request in the pieces that the engine reads.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method.
    pub method: String,
    /// Target, as it came.
    pub target: Vec<u8>,
    /// Fields, in no particular order.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Content.
    pub body: Vec<u8>,
}

impl Request {
    /// The value of a field that comes once.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_slice())
    }
}

impl Record {
    /// `None` where the whole request is given in bytes that need not be HTTP.
    pub fn request(&self) -> anyhow::Result<Option<Request>> {
        if self.raw_b64.is_some() {
            return Ok(None);
        }
        let body = match (&self.body, &self.body_b64) {
            (Some(body), _) => body.clone().into_bytes(),
            (None, Some(encoded)) => BASE64_STANDARD.decode(encoded)?,
            (None, None) => Vec::new(),
        };
        let mut fields = Vec::new();
        for (name, values) in &self.headers {
            let values = match values {
                OneOrMore::One(value) => std::slice::from_ref(value),
                OneOrMore::More(values) => values,
            };
            fields.extend(values.iter().map(|value| (name.clone(), value.clone().into_bytes())));
        }
        Ok(Some(Request { method: self.method.clone(), target: self.uri.clone().into_bytes(), fields, body }))
    }

    /// The bytes that go to a proxy.
    pub fn wire(&self) -> anyhow::Result<Vec<u8>> {
        if let Some(raw) = &self.raw_b64 {
            return Ok(BASE64_STANDARD.decode(raw)?);
        }
        let request = self.request()?.context("no request")?;
        let mut wire = request.method.into_bytes();
        wire.extend([b" ", request.target.as_slice(), b" HTTP/1.1\r\n"].concat());
        let has = |name: &str| self.headers.keys().any(|known| known.eq_ignore_ascii_case(name));
        if !self.exact && !has("host") {
            wire.extend(b"Host: localhost\r\n");
        }
        for (name, value) in &request.fields {
            wire.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        let has_body = self.body.is_some() || self.body_b64.is_some();
        if !self.exact && has_body && !has("content-length") && !has("transfer-encoding") {
            wire.extend(format!("Content-Length: {}\r\n", request.body.len()).bytes());
        }
        wire.extend(b"\r\n");
        wire.extend(request.body);
        Ok(wire)
    }
}

/// Corpora in a folder, or the one that is named.
pub fn files(path: &Path, only: &[String]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = if path.is_dir() {
        fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?
    } else {
        vec![path.to_owned()]
    };
    let is_corpus = |file: &PathBuf| {
        let name = file.to_string_lossy();
        (name.ends_with(".jsonl") || name.ends_with(".jsonl.xz"))
            && (only.is_empty() || only.iter().any(|only| self::name(file).contains(only.as_str())))
    };
    files.retain(is_corpus);
    files.sort();
    Ok(files)
}

/// Its file without folder and endings.
pub fn name(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.split('.').next().unwrap_or_default().to_owned()
}

/// Its requests; none where it is a corpus of something else.
pub fn read(file: &Path) -> anyhow::Result<Vec<Record>> {
    let content = if file.extension().is_some_and(|ending| ending == "xz") {
        let xz = Command::new("xz").arg("-dc").arg(file).output().context("run xz (package xz-utils)")?;
        anyhow::ensure!(xz.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&xz.stderr));
        String::from_utf8(xz.stdout)?
    } else {
        fs::read_to_string(file)?
    };
    let mut records = Vec::new();
    for (number, line) in content.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let read = || -> anyhow::Result<Option<Record>> {
            let value: Value = serde_json::from_str(line)?;
            let is_request = value.get("method").is_some() || value.get("raw_b64").is_some();
            Ok(is_request.then(|| serde_json::from_value(value)).transpose()?)
        };
        records.extend(read().with_context(|| format!("{}:{}", file.display(), number + 1))?);
    }
    Ok(records)
}
