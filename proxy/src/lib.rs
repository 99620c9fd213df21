//! Move the bytes: intercept, inspect, act, forward, tell.
//!
//! In reading order: [`cli`] (what can be started), [`sidecar`] and [`gateway`] (the two ways to run), [`process`]
//! (what they share: start, signals, drain), [`worker`] (the threads that serve), [`listener`] (sockets, original
//! destination), [`connection`] (which protocol, hyper or relay), [`guard`] (which bytes may go on), [`exchange`] (one
//! request from top to bottom), [`policy`] (what is in force), and what tells about it: [`event`], [`metrics`],
//! [`admin`], [`report`]. [`rules`] prints what is detected. [`limits`] and [`load`] say
//! what it can take, [`drain`] and [`control`] end a process, [`state`] and [`reason`] are shared words. [`init`]
//! is the other container: it sets the packet rules.
//!
//! Architecture invariant: a request reaches the application only with a `Pass` of the engine; nothing that reports
//! is ever awaited by the data path.

pub mod admin;
pub mod cli;
pub mod connection;
pub mod control;
pub mod drain;
pub mod event;
pub mod exchange;
pub mod gateway;
pub mod guard;
pub mod init;
pub mod limits;
pub mod listener;
pub mod load;
pub mod metrics;
pub mod policy;
pub mod process;
pub mod reason;
pub mod report;
pub mod rules;
pub mod sidecar;
pub mod state;
pub mod tls;
pub mod websocket;
pub mod worker;

/// Version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
