//! The proxy from outside: raw bytes over real sockets, real processes, an upstream that records what reached it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, its helpers too")]

#[path = "proxy/admin.rs"]
mod admin;
#[path = "proxy/bodies.rs"]
mod bodies;
#[path = "proxy/canary.rs"]
mod canary;
#[path = "proxy/client.rs"]
mod client;
#[path = "proxy/cost.rs"]
mod cost;
#[path = "proxy/crowded.rs"]
mod crowded;
#[path = "proxy/declared.rs"]
mod declared;
#[path = "proxy/evasion.rs"]
mod evasion;
#[path = "proxy/failing.rs"]
mod failing;
#[path = "proxy/forwarding.rs"]
mod forwarding;
#[path = "proxy/framing.rs"]
mod framing;
#[path = "proxy/gateway.rs"]
mod gateway;
#[path = "proxy/http2/mod.rs"]
mod http2;
#[path = "proxy/incidents.rs"]
mod incidents;
#[path = "proxy/introduced.rs"]
mod introduced;
#[path = "proxy/judging.rs"]
mod judging;
#[path = "proxy/paths.rs"]
mod paths;
#[path = "proxy/pki.rs"]
mod pki;
#[path = "proxy/process.rs"]
mod process;
#[path = "proxy/protocol.rs"]
mod protocol;
#[path = "proxy/responses.rs"]
mod responses;
#[path = "proxy/resting.rs"]
mod resting;
#[path = "proxy/signatures.rs"]
mod signatures;
#[path = "proxy/streams.rs"]
mod streams;
#[path = "proxy/timers.rs"]
mod timers;
#[path = "proxy/tls.rs"]
mod tls;
#[path = "proxy/upgrades.rs"]
mod upgrades;
#[path = "proxy/upstream.rs"]
mod upstream;
#[path = "proxy/vectors.rs"]
mod vectors;
