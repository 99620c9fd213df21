//! The harness of the end-to-end tests: what a test needs to say what it means, on a real cluster.
//!
//! [`cluster`] (API server, namespaces, waiting), [`admissions`] (pods that are asked for and not made), [`workload`] (pods and services that know nothing of us), [`http`]
//! (raw requests that are never retried), [`node`] (processes as the node's root sees them), [`product`] (the
//! installed kube-rasp: policies, sidecars, metrics). Tests see only the cluster, the images and the API types.

pub mod admissions;
pub mod cluster;
pub mod http;
pub mod node;
pub mod product;
pub mod workload;
