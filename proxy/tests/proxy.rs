//! The proxy from outside: raw bytes over real sockets, real processes, an upstream that records what reached it.

#[path = "proxy/client.rs"]
mod client;
#[path = "proxy/forwarding.rs"]
mod forwarding;
#[path = "proxy/gateway.rs"]
mod gateway;
#[path = "proxy/judging.rs"]
mod judging;
#[path = "proxy/upstream.rs"]
mod upstream;
