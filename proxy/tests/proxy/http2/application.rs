//! An application that speaks HTTP/2 without TLS, records what reached it, and does as the path says.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::Notify;

#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub uri: String,
    pub headers: HeaderMap,
}

#[derive(Clone, Default)]
struct State {
    seen: Arc<Mutex<Vec<Seen>>>,
    cancelled: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<Vec<Arc<Notify>>>>,
    go: Arc<Notify>,
    death: Arc<Notify>,
}

pub struct Application {
    pub address: SocketAddr,
    state: State,
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;
type AnyBody = UnsyncBoxBody<Bytes, AnyError>;

impl Application {
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (address, state) = (listener.local_addr().unwrap(), State::default());
        let serving = state.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve(listener, serving));
        });
        Self { address, state }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    pub fn paths(&self) -> Vec<String> {
        self.seen().iter().map(|seen| seen.uri.clone()).collect()
    }

    pub fn connections(&self) -> usize {
        self.state.connections.lock().unwrap().len()
    }

    /// Ends its connections with GOAWAY.
    pub fn leave(&self) {
        self.state.connections.lock().unwrap().iter().for_each(|leave| leave.notify_one());
    }

    /// Ends its connections without a word.
    pub fn die(&self) {
        self.state.death.notify_waiters();
    }

    /// Lets one request of `/hold` go on.
    pub fn go(&self) {
        self.state.go.notify_one();
    }

    /// Waits until a request was taken back while the application was at it.
    pub fn wait_for_cancelled(&self, path: &str) {
        self.wait(path, || self.state.cancelled.lock().unwrap().iter().any(|known| known.ends_with(path)));
    }

    pub fn wait_for(&self, path: &str) {
        self.wait(path, || self.paths().iter().any(|known| known.ends_with(path)));
    }

    fn wait(&self, path: &str, done: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !done() {
            assert!(Instant::now() < deadline, "{path} did not come, only {:?}", self.paths());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

async fn serve(listener: std::net::TcpListener, state: State) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (state, leave, death) = (state.clone(), Arc::new(Notify::new()), Arc::clone(&state.death));
        state.connections.lock().unwrap().push(Arc::clone(&leave));
        let service = service_fn(move |request| answer(state.clone(), request));
        tokio::spawn(async move {
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
            tokio::select! {
                _ = connection.as_mut() => return,
                () = death.notified() => return,
                () = leave.notified() => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
        });
    }
}

async fn answer(state: State, request: Request<Incoming>) -> Result<Response<AnyBody>, h2::Error> {
    assert_eq!(request.version(), Version::HTTP_2);
    let (parts, body) = request.into_parts();
    let uri = parts.uri.to_string();
    state.seen.lock().unwrap().push(Seen {
        method: parts.method.to_string(),
        uri: uri.clone(),
        headers: parts.headers,
    });
    let unfinished = Unfinished(Some((uri, Arc::clone(&state.cancelled))));
    match parts.uri.path() {
        "/hold" => {
            state.go.notified().await;
            unfinished.finished();
            Ok(Response::new(full("held")))
        }
        "/refuse" => Err(h2::Reason::REFUSED_STREAM.into()),
        "/reset" => Err(h2::Reason::INADEQUATE_SECURITY.into()),
        path @ ("/half" | "/stuck") => {
            let pause = if path == "/half" { Duration::from_millis(200) } else { Duration::from_secs(600) };
            let later = Box::pin(tokio::time::sleep(pause));
            unfinished.finished();
            Ok(Response::new(Half { sent: false, later }.boxed_unsync()))
        }
        "/large" => {
            unfinished.finished();
            Ok(Response::new(full(&"x".repeat(1 << 20))))
        }
        // gRPC: pieces and trailers go back as they come, with one that must not be in a trailer.
        "/echo" => Ok(Response::new(Echo { body, unfinished }.boxed_unsync())),
        _ => {
            let bytes = body.collect().await.map(http_body_util::Collected::to_bytes);
            unfinished.finished();
            bytes.map_err(|_| h2::Error::from(h2::Reason::CANCEL))?;
            Ok(Response::new(full(if parts.method == http::Method::HEAD { "" } else { "ok" })))
        }
    }
}

fn full(text: &str) -> AnyBody {
    Full::new(Bytes::copy_from_slice(text.as_bytes()))
        .map_err(|never: Infallible| -> AnyError { match never {} })
        .boxed_unsync()
}

/// Records a request that is dropped before the application was done with it.
struct Unfinished(Option<(String, Arc<Mutex<Vec<String>>>)>);

impl Unfinished {
    fn finished(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some((uri, cancelled)) = self.0.take() {
            cancelled.lock().unwrap().push(uri);
        }
    }
}

/// A piece, then a reset.
struct Half {
    sent: bool,
    later: Pin<Box<tokio::time::Sleep>>,
}

impl Body for Half {
    type Data = Bytes;
    type Error = AnyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnyError>>> {
        let frame = if self.sent {
            std::task::ready!(self.later.as_mut().poll(context)); // a reset overtakes what was not sent yet
            Err(h2::Error::from(h2::Reason::INADEQUATE_SECURITY).into())
        } else {
            Ok(Frame::data(Bytes::from_static(b"half")))
        };
        self.sent = true;
        Poll::Ready(Some(frame))
    }
}

struct Echo {
    body: Incoming,
    unfinished: Unfinished,
}

impl Body for Echo {
    type Data = Bytes;
    type Error = AnyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnyError>>> {
        let mut polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &mut polled
            && let Some(trailers) = frame.trailers_mut()
        {
            trailers.insert("set-cookie", http::HeaderValue::from_static("a=b")); // no client may see it
        }
        let over = match &polled {
            Poll::Ready(None) => true,
            Poll::Ready(Some(Ok(frame))) => frame.is_trailers(),
            _ => false,
        };
        if over {
            self.unfinished.0 = None;
        }
        polled.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }
}
