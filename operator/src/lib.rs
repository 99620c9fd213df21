//! Keep the cluster true: which pods are injected, which signed policies they get, and what is really in force.
//!
//! In reading order: [`args`], [`run`] (wiring), [`inject`] (pure decisions and patches), [`webhook`] (AdmissionReview
//! in and out) with [`facts`], [`certificate`], [`observe`] (caches), [`plan`] and [`status`] (pure decisions),
//! [`controller`] (the leader's loop), [`apply`] (writes), [`leader`], [`secrets`] with [`signing`] and
//! [`serving`], [`ca_bundle`],
//! [`server`] (TLS) with [`routes`] and [`report`], [`events`], [`metrics`] and [`admin`].

pub mod admin;
mod api_error;
pub mod apply;
pub mod args;
pub mod ca_bundle;
pub mod certificate;
pub mod controller;
pub mod events;
pub mod facts;
pub mod inject;
pub mod leader;
pub mod metrics;
pub mod observe;
pub mod plan;
pub mod report;
pub mod routes;
pub mod run;
pub mod secrets;
pub mod server;
pub mod serving;
pub mod signing;
pub mod status;
pub mod webhook;

#[cfg(test)]
mod testing;
