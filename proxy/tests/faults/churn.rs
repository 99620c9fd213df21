//! Row 32: the policy changes all the time. No request may see half of one.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::application;
use super::cage::{gateway, usage};
use super::client::{Client, get};
use super::gateway::document;
use super::row::{Row, Sampler, soak};

const ATTACK: &str = "/?q=1%27%20OR%20%271%27=%271";

/// Ends the others, also when this one fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn every_request_is_judged_by_one_whole_policy_while_they_change_all_the_time() {
    let row =
        Row::new("32", "policies change all the time: each request is judged by one of them, memory stays");
    let policies = [
        "{mode: Block, response: {status: 418, body: first}}",
        "{mode: Block, response: {status: 451, body: second}}",
        "{mode: Monitor}",
    ];
    let gateway = gateway(application::start(), Some(policies[0]), &[]);
    let (ended, judged) = (AtomicBool::new(false), AtomicUsize::new(0));
    let time = soak().unwrap_or(Duration::from_secs(4));
    let sampler = Sampler::start(gateway.pid(), Duration::from_millis(100));
    let swaps = thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = Client::connect(gateway.address);
                while !ended.load(Ordering::Acquire) {
                    client.send(get("/fine"));
                    assert_eq!(client.response().status(), 200);
                    client.send(get(ATTACK));
                    let response = client.response();
                    match (response.status(), response.text().as_str()) {
                        (418, "first") | (451, "second") | (200, "ok") => {}
                        other => panic!("no policy explains {other:?}"),
                    }
                    judged.fetch_add(1, Ordering::AcqRel);
                    if soak().is_some() {
                        thread::sleep(Duration::from_millis(2));
                    }
                }
            });
        }
        let _end = End(&ended);
        let (started, mut swaps) = (Instant::now(), 0);
        while started.elapsed() < time {
            swaps += 1;
            gateway.change_policy(&document(policies[swaps % 3]));
            gateway.change_policy("no: policy"); // refused: the last good one stays
        }
        swaps
    });
    let trend = sampler.finish();
    assert!(swaps >= 1);
    let rss = usage(gateway.pid()).rss_kib / 1024.0;
    if soak().is_some() {
        assert!(trend.rss_kib_per_minute < 100.0, "{trend:?}");
    }
    row.kept(&format!("{swaps} swaps, {} judged, RSS {rss:.1} MiB", judged.into_inner()), Some(&trend));
}
