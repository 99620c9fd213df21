//! The live stream from the operator: brings each new Bundle at once, to [`super::watch`], which judges it like a file.
//!
//! Nothing depends on it: without the stream the mounted file brings the same Bundle a minute later. Runs beside the
//! reports, holds one envelope at most, and comes back after a pause that is random, so that the sidecars of a cluster do
//! not come back together. It never believes anything of a frame; signatures are checked where files are.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rasp_policy::stream::{BadFrame, Decoder, Frame, HAVE, Have, PATH, SILENCE};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::Handle;
use super::watch::Offer;
use crate::metrics::Metrics;
use crate::reason::Kind;
use crate::report::{self, Operator};

/// Times of the stream.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Longest wait for the head of the answer.
    pub attempt: Duration,
    /// Longest wait for a whole frame.
    pub silence: Duration,
    /// Upper end of the first pause. Every pause is random, from nothing on.
    pub pause_min: Duration,
    /// Upper end of the longest pause.
    pub pause_max: Duration,
    /// A stream that lasted so long ended by no fault of its opening: the next pause is a first one.
    pub steady: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(10),
            silence: SILENCE,
            pause_min: Duration::from_secs(2),
            pause_max: Duration::from_secs(30),
            steady: Duration::from_secs(30),
        }
    }
}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Operator(#[from] report::Error),
    #[error("no answer in time")]
    Timeout,
    #[error("broken: {0}")]
    Broken(#[from] hyper::Error),
    #[error(transparent)]
    Frame(#[from] BadFrame),
    #[error("no frame in time")]
    Silent,
    #[error("the labels of the pod are not known yet")]
    NotReady,
    #[error("the operator speaks no HTTP/2: it is older than this sidecar")]
    Protocol,
    #[error("ended by the operator")]
    Ended,
}

/// Follows the operator.
pub struct Stream {
    operator: Operator,
    tls: TlsConnector,
    policy: Arc<Handle>,
    metrics: Arc<Metrics>,
    offers: Sender<Offer>,
    timing: Timing,
}

/// An open stream, which ends when this is dropped.
struct Open {
    body: Incoming,
    _sender: SendRequest<Empty<Bytes>>,
    _connection: AbortOnDropHandle<Result<(), hyper::Error>>,
}

impl Stream {
    /// Prepares to follow. Fails only without a TLS provider.
    pub fn new(
        operator: Operator,
        policy: Arc<Handle>,
        metrics: Arc<Metrics>,
        offers: Sender<Offer>,
    ) -> std::io::Result<Self> {
        let tls = operator.connector(b"h2", &[&rustls::version::TLS13])?;
        Ok(Self { operator, tls, policy, metrics, offers, timing: Timing::default() })
    }

    /// With other times, for tests.
    #[must_use]
    pub fn timed(self, timing: Timing) -> Self {
        Self { timing, ..self }
    }

    /// Follows until the process ends.
    pub async fn run(self) {
        let Timing { pause_min, pause_max, steady, .. } = self.timing;
        let mut longest = pause_min;
        let mut is_told = false;
        loop {
            let began = Instant::now();
            let Err(error) = self.follow().await;
            self.metrics.policy_stream(false);
            if began.elapsed() >= steady {
                (longest, is_told) = (pause_min, false);
            }
            if !matches!(error, Error::Ended) {
                self.metrics.error(&Kind::PolicyStream);
            }
            if is_told {
                tracing::debug!(%error, "no live stream of policies");
            } else {
                tracing::warn!(%error, "no live stream of policies; the mounted file goes on, trying again");
            }
            is_told = true;
            sleep(longest.mul_f64(fastrand::f64())).await;
            longest = (longest * 2).min(pause_max);
        }
    }

    async fn follow(&self) -> Result<Infallible, Error> {
        let Timing { attempt, silence, .. } = self.timing;
        let mut open = timeout(attempt, self.open()).await.map_err(|_| Error::Timeout)??;
        self.metrics.policy_stream(true);
        let mut decoder = Decoder::default();
        // For a whole frame, not for a byte: who sends one byte a minute is as good as silent.
        let mut deadline = tokio::time::Instant::now() + silence;
        loop {
            while let Some(frame) = decoder.next_frame()? {
                self.policy.heard();
                if let Frame::Bundle(envelope) = frame {
                    self.offer(envelope).await?;
                }
                deadline = tokio::time::Instant::now() + silence;
            }
            let piece = timeout_at(deadline, open.body.frame()).await.map_err(|_| Error::Silent)?;
            let Some(piece) = piece else {
                decoder.finish()?;
                return Err(Error::Ended);
            };
            if let Ok(piece) = piece?.into_data() {
                decoder.push(&piece);
            }
        }
    }

    /// Waits until it was looked at: the operator keeps what is newer meanwhile, and only the newest of it.
    async fn offer(&self, envelope: Vec<u8>) -> Result<(), Error> {
        let (done, looked_at) = oneshot::channel();
        if self.offers.send(Offer { envelope, done }).is_err() {
            return Err(Error::NotReady);
        }
        if looked_at.await.unwrap_or(false) { Ok(()) } else { Err(Error::NotReady) }
    }

    async fn open(&self) -> Result<Open, Error> {
        let bearer = self.operator.bearer().await?;
        let stream = self.operator.dial(&self.tls).await?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(Error::Protocol);
        }
        let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(64 << 10)
            .initial_connection_window_size(64 << 10)
            .handshake(TokioIo::new(stream))
            .await?;
        let connection = AbortOnDropHandle::new(tokio::spawn(connection));
        let mut request = Request::get(format!("https://{}{PATH}", self.operator.url.authority()))
            .header(AUTHORIZATION, bearer)
            .body(Empty::new())
            .map_err(report::Error::from)?;
        let in_force = self.policy.load();
        if let (Some(sequence), Some(digest)) = (in_force.sequence, in_force.digest.clone()) {
            let have = Have { sequence, digest }.to_string().try_into().map_err(http::Error::from);
            request.headers_mut().insert(HAVE, have.map_err(report::Error::from)?);
        }
        let response = sender.send_request(request).await?;
        match response.status() {
            StatusCode::OK => {
                Ok(Open { body: response.into_body(), _sender: sender, _connection: connection })
            }
            status => Err(report::Error::Status(status).into()),
        }
    }
}

#[cfg(test)]
mod tests;
