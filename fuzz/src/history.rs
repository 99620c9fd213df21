//! Records of what policies were: any bytes as a record, and any JSON as a spec in one. What a record says of a spec is
//! compared with what a cluster has, so that it must not change when it is read again.

use rasp_policy::api::{Kind, RaspExceptionSpec};
use rasp_policy::history::{Record, is_same, normal, written};
use serde_json::Value;

/// The input is a record, and a spec of each kind.
pub fn run(data: &[u8]) {
    if let Ok(record) = Record::from_verified(data) {
        assert_eq!(Record::from_verified(&record.to_bytes()).as_ref(), Ok(&record));
        let state = record.state();
        assert!(is_same(&state, &state));
        for object in &record.objects {
            if let Some(spec) = &object.spec {
                compared(object.kind, spec);
            }
        }
    }
    if let Ok(spec) = serde_json::from_slice::<Value>(data) {
        for kind in Kind::ALL {
            compared(kind, &spec);
        }
    }
}

fn compared(kind: Kind, spec: &Value) {
    let once = normal(kind, spec);
    assert_eq!(normal(kind, &once), once, "{spec}");
    if kind == Kind::RaspException
        && let Ok(exception) = serde_json::from_value::<RaspExceptionSpec>(spec.clone())
    {
        assert_eq!(written(kind, &exception.policy("p")), Some(once), "what a Bundle makes of it is undone");
    }
}
