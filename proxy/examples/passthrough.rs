//! The naive proxy of the benchmark, for tests that show what it dies of.
//!
//! `cargo run -p rasp-proxy --example passthrough -- LISTEN UPSTREAM`

use std::net::SocketAddr;

use anyhow::Context as _;

#[path = "../../bench/src/naive.rs"]
mod naive;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut address = || -> anyhow::Result<SocketAddr> {
        Ok(arguments.next().context("usage: passthrough LISTEN UPSTREAM")?.parse()?)
    };
    naive::run(address()?, address()?, false, false)
}
