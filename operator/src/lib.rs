//! Keep the cluster true: which pods are injected, which signed policies they get, and what is really in force.
//!
//! In reading order: [`args`], [`run`] (wiring), [`inject`] (pure decisions and patches), [`webhook`] (AdmissionReview
//! in and out) with [`facts`], [`validate`] (policies that are written), [`certificate`], [`observe`] (caches), [`rollout`],
//! [`plan`] and [`status`] (pure decisions), [`controller`] (the leader's loop), [`watchdog`] (what is unprotected, told and
//! ended), [`apply`] (writes) with [`history`], [`leader`], [`secrets`] with [`signing`] and
//! [`serving`], [`ca_bundle`], [`publish`],
//! [`probe`] (is the webhook answered?), [`server`] (TLS) with [`routes`] and [`report`], [`events`], [`metrics`] and
//! [`admin`]. [`selftest`] is a client.
//!
//! # Rights
//!
//! The chart's `rbac.yaml` grants exactly what is used here. Cluster-wide: list and watch Namespaces, Pods,
//! Services, RaspPolicies, ClusterRaspPolicies and RaspExceptions, and patch the status of these three; list, watch, create
//! and patch the ConfigMap of the fixed name; get, create and patch that of the history; create TokenReviews; create and patch
//! Events; list, watch and patch the one MutatingWebhookConfiguration and the one ValidatingWebhookConfiguration. In the own
//! namespace: get the Service; create Secrets, get, list, watch and update the two by name; create Leases, get and update the one; create
//! and patch the ConfigMap of settings. Only where workloads may be restarted (`watchdog.restart.enabled`): list and patch
//! Deployments, StatefulSets and DaemonSets, list PodDisruptionBudgets.

pub mod admin;
mod api_error;
pub mod apply;
pub mod args;
pub mod ca_bundle;
pub mod certificate;
pub mod controller;
pub mod events;
pub mod facts;
pub mod history;
pub mod inject;
pub mod leader;
pub mod metrics;
pub mod observe;
pub mod plan;
pub mod probe;
pub mod publish;
pub mod report;
pub mod rollout;
pub mod routes;
pub mod run;
pub mod secrets;
pub mod selftest;
pub mod server;
pub mod serving;
pub mod signing;
pub mod status;
pub mod stream;
pub mod text;
pub mod validate;
pub mod watchdog;
pub mod webhook;

#[cfg(test)]
mod testing;
mod time;
