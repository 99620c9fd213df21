//! Faults: what clients and the operating system see of the proxy while something else breaks. Real processes, real
//! sockets, control groups, file limits and network namespaces; the rows are numbered as in docs/reliability.md.
//!
//! Every test is the short form of a row. `make soak` runs the same tests long (`RASP_SOAK=10m`), one after the other,
//! and writes a table.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, its helpers too")]

#[path = "faults/application.rs"]
mod application;
#[path = "faults/cage.rs"]
mod cage;
#[path = "faults/churn.rs"]
mod churn;
#[expect(dead_code, reason = "shared with the tests of the proxy")]
#[path = "proxy/client.rs"]
mod client;
#[path = "faults/crash.rs"]
mod crash;
#[path = "faults/crowd.rs"]
mod crowd;
#[path = "faults/fault_proxy.rs"]
mod fault_proxy;
#[expect(dead_code, reason = "shared with the tests of the proxy")]
#[path = "proxy/gateway.rs"]
mod gateway;
#[path = "faults/hang.rs"]
mod hang;
#[path = "faults/hostile.rs"]
mod hostile;
#[expect(dead_code, reason = "shared with the tests of HTTP/2")]
#[path = "proxy/http2/application.rs"]
mod http2_application;
#[path = "faults/longlived.rs"]
mod longlived;
#[path = "faults/network.rs"]
mod network;
#[path = "faults/row.rs"]
mod row;
#[path = "faults/scarce.rs"]
mod scarce;
#[path = "faults/slow.rs"]
mod slow;
#[path = "faults/soak.rs"]
mod soak;
#[path = "faults/stop.rs"]
mod stop;
#[path = "faults/stream.rs"]
mod stream;
#[expect(dead_code, reason = "shared with the tests of the proxy")]
#[path = "proxy/upstream.rs"]
mod upstream;
#[expect(dead_code, reason = "shared with the tests of the packet rules")]
#[path = "init/world.rs"]
mod world;
