use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use rasp_policy::api::Kind;
use serde_json::{Value, json};

use super::all;
use crate::rollback::plan::{Action, Step};

/// RaspPolicy `web` at an API server. Its status is written before each of the next `writes` of others, as the operator
/// does it.
struct Server {
    object: Value,
    writes: usize,
    taken: Vec<Value>,
}

impl Server {
    fn version(&self) -> &Value {
        &self.object["metadata"]["resourceVersion"]
    }

    fn answer(&mut self, method: &http::Method, body: Value) -> (u16, Value) {
        if method == http::Method::GET {
            return (200, self.object.clone());
        }
        if self.writes > 0 {
            self.writes -= 1;
            let version: u64 = self.version().as_str().unwrap().parse().unwrap();
            self.object["metadata"]["resourceVersion"] = (version + 1).to_string().into();
        }
        let asked = if method == http::Method::DELETE { &body["preconditions"] } else { &body["metadata"] };
        if asked["resourceVersion"] != *self.version() {
            let refused = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 409,
                "reason": "Conflict", "message": "the object has been modified",
            });
            return (409, refused);
        }
        self.taken.push(body);
        (200, self.object.clone())
    }
}

fn object(generation: i64) -> Value {
    json!({
        "apiVersion": "rasp.dev/v1alpha1", "kind": "RaspPolicy",
        "metadata": {
            "name": "web", "namespace": "shop", "uid": "u", "generation": generation, "resourceVersion": "5",
            "labels": { "team": "a" },
        },
        "spec": { "mode": "Monitor" },
    })
}

/// Does a step that was planned when the object was in generation 3; what the API server has taken, and what is told.
fn done(action: Action, object: Value, writes: usize) -> (Vec<Value>, String) {
    let server = Arc::new(Mutex::new(Server { object, writes, taken: Vec::new() }));
    let serving = Arc::clone(&server);
    let service = tower::service_fn(move |request: Request<Body>| {
        let server = Arc::clone(&serving);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let (status, answer) = server.lock().unwrap().answer(&head.method, body);
            let answer = Body::from(serde_json::to_vec(&answer).unwrap());
            Ok::<_, Infallible>(Response::builder().status(status).body(answer).unwrap())
        }
    });
    let step = Step {
        action,
        kind: Kind::RaspPolicy,
        name: "web".to_owned(),
        managed_by: None,
        diff: String::new(),
        live: Some(self::object(3)),
        spec: Some(json!({ "mode": "Block" })),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let told = runtime.block_on(async {
        let client = Client::new(service, "default");
        all(&client, "shop", &[step], false).await
    });
    let taken = server.lock().unwrap().taken.clone();
    (taken, told.err().map(|error| format!("{error:#}")).unwrap_or_default())
}

#[test]
fn a_status_that_is_written_meanwhile_holds_nobody_up() {
    for writes in [0, 1, 3] {
        let mut there = object(3);
        there["metadata"]["resourceVersion"] = "9".into();
        let (taken, told) = done(Action::Change, there.clone(), writes);
        assert_eq!((taken.len(), told.as_str()), (1, ""), "{writes}");
        assert_eq!(taken[0]["spec"], json!({ "mode": "Block" }));
        assert_eq!(taken[0]["metadata"]["labels"], json!({ "team": "a" }));
        let (taken, told) = done(Action::Delete, there, writes);
        assert_eq!((taken.len(), told.as_str()), (1, ""), "{writes}");
        assert_eq!(taken[0]["preconditions"]["uid"], "u");
    }
    let (taken, told) = done(Action::Change, object(3), 99);
    assert!(
        taken.is_empty() && told.contains("0 of 1 changes were made; cannot change RaspPolicy/web"),
        "{told}"
    );
}

#[test]
fn what_somebody_changed_meanwhile_is_not_written_over() {
    let mut made_anew = object(3);
    made_anew["metadata"]["uid"] = "another".into();
    for there in [object(4), made_anew] {
        for action in [Action::Change, Action::Delete] {
            let (taken, told) = done(action, there.clone(), 0);
            assert!(taken.is_empty() && told.contains("somebody has changed it meanwhile"), "{told}");
        }
    }
}
