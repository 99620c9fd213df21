//! The policy of a gateway: a YAML file of documents of every kind, read again when it changes.
//!
//! A file that cannot be read or compiled never replaces a good one; at the start there is none yet, so it is fatal.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rasp_engine::Ruleset;
use rasp_policy::bundle::{self, Bundle, Namespace, SCHEMA_VERSION};
use rasp_policy::document;
use rasp_policy::precedence::{Deciders, resolve};
use rasp_policy::report::Rejected;
use rasp_policy::selector::Labels;

use super::{Handle, InForce};
use crate::metrics::Metrics;
use crate::reason::Kind;

const INTERVAL: Duration = Duration::from_secs(1);

/// Why a file of policies was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("read {path}: {source}")]
    Read {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It does not hold policies.
    #[error("{path}: {source}")]
    Parse {
        /// Its path.
        path: PathBuf,
        /// Which document, which field, what to do.
        source: document::Error,
    },
    /// The policies cannot be compiled.
    #[error("{path}: {source}")]
    Build {
        /// Its path.
        path: PathBuf,
        /// What cannot be compiled.
        source: rasp_engine::BuildError,
    },
}

/// A file and what it last held.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    text: String,
    /// When the first exception ends.
    expires: Option<String>,
}

impl File {
    /// Reads and compiles the file.
    pub fn open(path: PathBuf) -> Result<(Self, InForce), Error> {
        let mut file = Self { path, text: String::new(), expires: None };
        file.text = file.read()?;
        let in_force = file.build(&super::now())?;
        file.expires.clone_from(&in_force.expires);
        Ok((file, in_force))
    }

    /// Looks once a second until the process ends.
    pub fn watch(mut self, handle: &Arc<Handle>, metrics: &Arc<Metrics>) {
        let mut refused = None;
        loop {
            std::thread::sleep(INTERVAL);
            let error = match self.reload(&super::now()) {
                Ok(None) => continue,
                Ok(Some(in_force)) => {
                    let mode = in_force.ruleset.effective().effective_mode().as_str();
                    tracing::info!(digest = in_force.digest.as_deref(), mode, "policy in force");
                    handle.replace(in_force);
                    refused = None;
                    continue;
                }
                Err(error) => error.to_string(),
            };
            if refused.as_ref() != Some(&error) {
                metrics.error(&Kind::PolicyFile);
                tracing::error!(%error, "policy file refused; what is in force stays");
                handle.reject(Rejected { reason: Kind::PolicyFile.id().into(), message: error.clone() });
                refused = Some(error);
            }
        }
    }

    fn reload(&mut self, now: &str) -> Result<Option<InForce>, Error> {
        let read = self.read();
        if read.is_err() {
            self.text.clear(); // back again counts as changed
        }
        let text = read?;
        let expired = self.expires.as_deref().is_some_and(|end| end <= now);
        if text == self.text && !expired {
            return Ok(None);
        }
        self.text = text;
        self.expires = None;
        let in_force = self.build(now)?;
        self.expires.clone_from(&in_force.expires);
        Ok(Some(in_force))
    }

    fn read(&self) -> Result<String, Error> {
        std::fs::read_to_string(&self.path).map_err(|source| Error::Read { path: self.path.clone(), source })
    }

    fn build(&self, now: &str) -> Result<InForce, Error> {
        let entries = document::read(&self.text)
            .and_then(|objects| document::refuse_rollouts(&objects).map(|()| objects))
            .and_then(|objects| document::stand_alone(&objects))
            .map_err(|source| Error::Parse { path: self.path.clone(), source })?;
        let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis());
        let bundle = Bundle {
            schema_version: SCHEMA_VERSION,
            namespace: Namespace { name: String::new(), uid: String::new() },
            sequence: u64::try_from(millis).unwrap_or(u64::MAX),
            entries,
        };
        let resolution = resolve(&bundle, &Labels::new());
        let deciders = Deciders::of(&bundle, &resolution);
        let mut effective = resolution.effective;
        let expires = effective.expire(now);
        let ruleset = Ruleset::check(&effective)
            .and_then(|()| Ruleset::build(&effective))
            .map_err(|source| Error::Build { path: self.path.clone(), source })?;
        Ok(InForce {
            digest: Some(bundle::digest(self.text.as_bytes())),
            sequence: Some(bundle.sequence),
            deciders,
            expires,
            ..InForce::builtin(ruleset)
        })
    }
}
