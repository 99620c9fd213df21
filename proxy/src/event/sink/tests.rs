use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{QUEUE, Sink};
use crate::event::{Action, Endpoint, Event, HttpRequest, Severity, Unmapped, Url};
use crate::metrics::Metrics;

fn event() -> Event {
    let unmapped = Unmapped {
        request_id: "r".into(),
        trace_id: None,
        pod: String::new(),
        namespace: String::new(),
        workload: String::new(),
        mode: "Block",
        verdict: "block",
        enforced: None,
        class: None,
        rule: "r",
        location: None,
        confidence: None,
        sample: None,
        policy_digest: None,
        policy_field: None,
        coverage: "full",
        suppressed: None,
        exception: None,
    };
    let request = HttpRequest { http_method: "GET\n".into(), url: Url { path: None } };
    let client = Endpoint::from("[::ffff:10.0.0.9]:1".parse::<std::net::SocketAddr>().unwrap());
    let application = Endpoint { ip: None, port: 80 };
    Event::now(Action::Block, Severity::High, request, (client, application), unmapped)
}

fn dropped(metrics: &Metrics, reason: &str) -> u64 {
    let text = String::from_utf8(metrics.render()).unwrap();
    let sample = format!("rasp_events_dropped_total{{reason=\"{reason}\",sink=\"stdout\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&sample)).unwrap().parse().unwrap()
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn each_event_is_one_line_whatever_it_holds() {
    let output = Shared::default();
    let (sink, writer) = Sink::start(output.clone(), Arc::new(Metrics::new().unwrap())).unwrap();
    sink.send(event());
    sink.send(event());
    writer.finish(Duration::from_secs(5));
    let text = String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.lines().count(), 2);
    assert!(
        text.lines()
            .all(|line| line.contains(r#""http_method":"GET\n""#) && line.contains(r#""ip":"10.0.0.9""#))
    );
}

/// A reader that takes nothing until it is told.
struct Stuck {
    entered: Sender<()>,
    go_on: Receiver<()>,
}

impl Write for Stuck {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        let _ = self.entered.send(());
        let _ = self.go_on.recv();
        Err(io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stuck_output_costs_events_and_nothing_else() {
    let metrics = Arc::new(Metrics::new().unwrap());
    let ((entered, inside), (tell, go_on)) = (channel(), channel());
    let (sink, writer) = Sink::start(Stuck { entered, go_on }, Arc::clone(&metrics)).unwrap();
    sink.send(event());
    inside.recv().unwrap();
    for _ in 0..QUEUE + 5 {
        sink.send(event());
    }
    assert_eq!(dropped(&metrics, "queue_full"), 5);
    drop(tell);
    writer.finish(Duration::from_secs(5));
    assert_eq!(dropped(&metrics, "write_failed"), QUEUE as u64 + 1);
}
