//! What is asked for: the API types users write, how several of them combine, and the signed bytes sidecars read.
//!
//! In reading order: [`class`] (the attack classes), [`api`] (RaspPolicy as written), [`document`] (strict reading of YAML files), [`selector`]
//! (which pods), [`precedence`] (which value wins), [`bundle`] (the wire form), [`history`] (what it was made of before) and [`keys`] (who may sign it), [`report`] (what a sidecar tells
//! back), [`limits`] (of the data path), [`pod`] (names, ports and paths both binaries agree on).
//!
//! Architecture invariant: no IO, no clock, no signing key, and no Kubernetes client types without feature `crd`.

pub mod api;
pub mod bundle;
pub mod class;
#[cfg(feature = "crd")]
pub mod crd;
pub mod document;
pub mod history;
pub mod keys;
pub mod limits;
pub mod pod;
pub mod precedence;
pub mod report;
pub mod rollout;
pub mod selector;
pub mod share;
pub mod stream;
pub mod token;
