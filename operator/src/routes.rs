//! What the TLS listener answers: `/inject/{enabled,enforced,object}`, `/validate`, `/v1/report` and `/v1/stream`. Everything else is 404.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::sync::mpsc;

use crate::inject::Level;
use crate::metrics::Metrics;
use crate::report::{self, Receiver};
use crate::server::{Body, Handler, Link, empty, whole};
use crate::stream::Streams;
use crate::validate;
use crate::webhook::{self, Facts, MAX_BODY_BYTES, Occurrence};

mod body;

/// The handler of the TLS listener.
pub struct Routes<F> {
    /// What reviews are decided by.
    pub facts: Arc<F>,
    /// What became of pods.
    pub occurrences: mpsc::Sender<Occurrence>,
    /// Takes reports.
    pub receiver: Receiver,
    /// Sends Bundles.
    pub streams: Streams,
    /// Measures reviews.
    pub metrics: Arc<Metrics>,
}

impl<F: Facts> Handler for Routes<F> {
    async fn handle(&self, request: Request<Incoming>, link: Link) -> Response<Body> {
        let path = request.uri().path();
        if path == rasp_policy::stream::PATH {
            return self.stream(&request, &link).await;
        }
        let level = path
            .strip_prefix("/inject/")
            .and_then(|level| Level::ALL.into_iter().find(|known| known.as_str() == level));
        let validates = path == validate::PATH;
        if level.is_none() && !validates && path != rasp_policy::report::PATH {
            return empty(StatusCode::NOT_FOUND);
        }
        if request.method() != Method::POST {
            return empty(StatusCode::METHOD_NOT_ALLOWED);
        }
        match level {
            Some(level) => self.review(level, request).await,
            None if validates => self.validate(request).await,
            None => self.report(request).await,
        }
    }
}

impl<F: Facts> Routes<F> {
    async fn review(&self, level: Level, request: Request<Incoming>) -> Response<Body> {
        let started = Instant::now();
        let body = match body::read(request.into_body(), MAX_BODY_BYTES).await {
            Ok(body) => body,
            Err(status) => return empty(status),
        };
        let review = webhook::review(&*self.facts, level, body.bytes.clone(), &self.occurrences).await;
        self.metrics.answered(started.elapsed());
        json(review.0, review.1)
    }

    async fn validate(&self, request: Request<Incoming>) -> Response<Body> {
        let body = match body::read(request.into_body(), MAX_BODY_BYTES).await {
            Ok(body) => body,
            Err(status) => return empty(status),
        };
        let (status, answer) = validate::review(&self.metrics, body.bytes.clone()).await;
        json(status, answer)
    }

    async fn stream(&self, request: &Request<Incoming>, link: &Link) -> Response<Body> {
        if request.method() != Method::GET {
            return empty(StatusCode::METHOD_NOT_ALLOWED);
        }
        self.streams.open(request, link).await.unwrap_or_else(|refused| {
            let (status, reason) = refused.answer();
            tracing::debug!(reason, "a stream is refused");
            json(status, format!(r#"{{"reason":"{reason}"}}"#).into())
        })
    }

    async fn report(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = match body::read(body, report::MAX_BYTES).await {
            Ok(body) => body,
            Err(status) => return empty(status),
        };
        match self.receiver.receive(&head.headers, &body.bytes).await {
            Ok(()) => empty(StatusCode::NO_CONTENT),
            Err(refused) => {
                let (status, reason) = refused.answer();
                let mut response = json(status, format!(r#"{{"reason":"{reason}"}}"#).into());
                // The next connection may reach the leader.
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                response
            }
        }
    }
}

fn json(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = whole(status, body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests;
