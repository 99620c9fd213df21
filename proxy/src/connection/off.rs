//! A connection that began while everything was Off: bytes are relayed untouched, not even parsed.
//!
//! When protection is switched on, such a connection must not stay a way past it; nor may it hold up a drain. It is
//! ended as soon as it is quiet after an answer, so that no request is lost, and after a while in any case.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::relay::{self, Activity, Noted};
use super::{Client, Target, dial};
use crate::listener::reset;
use crate::reason::{Bypass, Kind, Timeout};
use crate::state::Shared;

/// Quiet for so long after bytes of the application: no request is on its way.
const QUIET: Duration = Duration::from_millis(500);
/// After so long a connection that is never quiet is ended all the same.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn serve(shared: Arc<Shared>, client: Client, target: Target) {
    let Ok(upstream) = dial(&target, &shared).await else {
        return reset(client.stream);
    };
    shared.metrics.bypass(Bypass::Off);
    let _in_flight = shared.drain.begin();
    let activity = Activity::new();
    let peer = client.peer;
    let mut from = Noted::client(client.stream, Bytes::new(), &activity);
    let mut to = Noted::upstream(upstream, Bytes::new(), &activity);
    let end = tokio::select! {
        end = relay::run(&mut from, &mut to, shared.timers.opaque_idle) => end,
        () = no_longer(&shared, target.port(), &activity) => relay::End::Closed,
    };
    if end == relay::End::Idle {
        shared.incident(&Kind::Timeout(Timeout::OpaqueIdle), Some(peer), target.port());
    }
    relay::close(end, from.into_inner(), to.into_inner());
}

async fn no_longer(shared: &Shared, port: u16, activity: &Activity) {
    tokio::select! {
        () = switched_on(shared, port) => {}
        () = shared.drain.started() => {}
    }
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if activity.is_answered() && activity.quiet() >= QUIET {
            return;
        }
        sleep(QUIET / 4).await;
    }
}

async fn switched_on(shared: &Shared, port: u16) {
    let mut changes = shared.policy.changes();
    while shared.policy.load_on(port).ruleset.is_off() {
        if changes.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}
