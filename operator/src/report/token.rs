//! Tells which pod a token belongs to, by TokenReview.
//!
//! The API text says that `authenticated` with an empty list of audiences means the token was valid for the API
//! server; so our audience must be in the answer. Positive answers are kept for a minute, by hash: a token that is
//! revoked in between can only repeat what its pod may say anyway.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use rasp_policy::report::AUDIENCE;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::Refused;
use crate::api_error;
use crate::metrics::{ErrorKind, Metrics};

/// How long a positive answer is believed.
const KEPT: Duration = Duration::from_secs(60);
/// Answers kept at most; each is about 200 bytes.
const MAX_KEPT: usize = 10_000;
/// Reviews in flight: who sends rubbish must not flood the API server through us.
const MAX_REVIEWS: usize = 8;
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pod a token is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// Its UID.
    pub uid: String,
}

/// Reviews tokens.
pub struct Tokens {
    client: Client,
    metrics: Arc<Metrics>,
    known: Mutex<HashMap<Vec<u8>, (Identity, Instant)>>,
    reviews: Semaphore,
}

impl Tokens {
    /// Reviews tokens by this client.
    pub fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        Self { client, metrics, known: Mutex::default(), reviews: Semaphore::new(MAX_REVIEWS) }
    }

    /// The pod that a token belongs to.
    pub async fn identify(&self, token: &str) -> Result<Identity, Refused> {
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes()).as_ref().to_vec();
        if let Some(identity) = self.known(&hash) {
            return Ok(identity);
        }
        let answer = tokio::time::timeout(PATIENCE, self.review(token)).await;
        let status = answer.map_err(|_| "no answer in time".to_owned()).and_then(|answer| answer).map_err(
            |error| {
                self.metrics.failed(ErrorKind::TokenReview);
                tracing::warn!(error, "cannot review the token of a report");
                Refused::Unavailable
            },
        )?;
        let identity = identity(status).ok_or(Refused::InvalidToken)?;
        self.keep(hash, identity.clone());
        Ok(identity)
    }

    async fn review(&self, token: &str) -> Result<TokenReviewStatus, String> {
        let _permit = self.reviews.acquire().await.map_err(|error| error.to_string())?;
        let review = TokenReview {
            metadata: ObjectMeta::default(),
            spec: TokenReviewSpec {
                audiences: Some(vec![AUDIENCE.to_owned()]),
                token: Some(token.to_owned()),
            },
            status: None,
        };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let answer = reviews.create(&PostParams::default(), &review).await;
        answer.map(|review| review.status.unwrap_or_default()).map_err(|error| api_error::text(&error))
    }

    fn known(&self, hash: &[u8]) -> Option<Identity> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(hash).filter(|(_, until)| Instant::now() < *until).map(|(identity, _)| identity.clone())
    }

    fn keep(&self, hash: Vec<u8>, identity: Identity) {
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KEPT {
            known.retain(|_, (_, until)| now < *until);
        }
        if known.len() < MAX_KEPT {
            known.insert(hash, (identity, now + KEPT));
        }
    }
}

/// The pod, if the answer says that the token is bound to one and was made for us.
fn identity(status: TokenReviewStatus) -> Option<Identity> {
    let ours = status.audiences.unwrap_or_default().iter().any(|audience| audience == AUDIENCE);
    if status.authenticated != Some(true) || !ours {
        return None;
    }
    let user = status.user?;
    let username = user.username?;
    let namespace = username.strip_prefix("system:serviceaccount:")?.split(':').next()?;
    let mut extra = user.extra.unwrap_or_default();
    let mut single = |key: &str| extra.remove(key)?.into_iter().next();
    Some(Identity {
        namespace: namespace.to_owned(),
        pod: single("authentication.kubernetes.io/pod-name")?,
        uid: single("authentication.kubernetes.io/pod-uid")?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Identity, identity};

    /// What is wrong, and how it comes about.
    type Row = (&'static str, fn(&mut Value));

    fn answer(change: impl Fn(&mut Value)) -> Option<Identity> {
        let mut status = json!({
            "authenticated": true,
            "audiences": ["rasp.dev"],
            "user": {
                "username": "system:serviceaccount:shop:default",
                "extra": {
                    "authentication.kubernetes.io/pod-name": ["web-1"],
                    "authentication.kubernetes.io/pod-uid": ["u1"],
                },
            },
        });
        change(&mut status);
        identity(serde_json::from_value(status).unwrap())
    }

    #[test]
    fn only_a_token_bound_to_a_pod_and_made_for_us_has_an_identity() {
        let expected = Identity { namespace: "shop".into(), pod: "web-1".into(), uid: "u1".into() };
        assert_eq!(answer(|_| {}), Some(expected));
        let table: [Row; 6] = [
            ("not authenticated", |status| status["authenticated"] = json!(false)),
            ("valid for the API server only", |status| status["audiences"] = json!([])),
            ("made for somebody else", |status| status["audiences"] = json!(["vault"])),
            ("not a service account", |status| status["user"]["username"] = json!("admin")),
            ("not bound to a pod", |status| status["user"]["extra"] = json!({})),
            ("no user", |status| status["user"] = json!(null)),
        ];
        for (name, change) in table {
            assert_eq!(answer(change), None, "{name}");
        }
    }
}
