//! Keep the cluster true: which pods are injected, which signed policies they get, and what is really in force.
//!
//! In reading order: [`args`], [`run`] (wiring), [`observe`] (caches), [`plan`] and [`status`] (pure decisions),
//! [`controller`] (the leader's loop), [`apply`] (writes), [`leader`], [`secrets`] with [`signing`], [`ca_bundle`],
//! [`server`] (TLS) with [`report`], [`metrics`] and [`admin`].

pub mod admin;
pub mod apply;
pub mod args;
pub mod ca_bundle;
pub mod controller;
pub mod leader;
pub mod metrics;
pub mod observe;
pub mod plan;
pub mod report;
pub mod run;
pub mod secrets;
pub mod server;
pub mod signing;
pub mod status;
