//! Keep the cluster true: which pods are injected, by whom the webhook is trusted, what sidecars are told.
//!
//! In reading order: [`inject`] (pure decisions and patches), [`webhook`] (AdmissionReview in and out),
//! [`certificate`] (the CA and the serving certificate).

pub mod certificate;
pub mod inject;
pub mod webhook;
