use jiff::Timestamp;
use serde_json::json;

use super::super::line::Outcome;
use super::super::needs;
use super::{clock, crds, nodes, pair, rights, version};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn versions_are_read_as_providers_write_them() {
    for (text, expected) in [
        ("v1.33.2", Some((1, 33))),
        ("1.34+", Some((1, 34))),
        ("5.10.0-34-amd64", Some((5, 10))),
        ("6.1", Some((6, 1))),
        ("", None),
        ("x", None),
    ] {
        assert_eq!(pair(text), expected, "{text}");
    }
    for (minor, expected) in
        [("32", Outcome::Fail), ("33", Outcome::Pass), ("34+", Outcome::Pass), ("", Outcome::Fail)]
    {
        let seen = Ok(("1".to_owned(), minor.to_owned(), format!("v1.{minor}")));
        assert_eq!(version(&seen).status, expected, "{minor}");
    }
    assert_eq!(version(&Err("refused".to_owned())).status, Outcome::Fail);
}

#[test]
fn a_clock_that_is_off_is_told_of_this_machine_and_of_the_nodes() {
    let table = [
        // skew of this machine, of a node's lease, outcome
        (0, -30, Outcome::Pass),
        (4, 4, Outcome::Pass),
        (-20, 0, Outcome::Warn),
        (90, 0, Outcome::Fail),
        (0, 30, Outcome::Fail),
    ];
    for (own, node, expected) in table {
        let line = clock(&Ok((at(1000), at(1000 + own))), &Ok(vec![("node-a".to_owned(), at(1000 + node))]));
        assert_eq!(line.status, expected, "{own} {node}: {}", line.message);
    }
    assert!(
        clock(&Ok((at(0), at(0))), &Ok(vec![("node-a".to_owned(), at(9))]))
            .message
            .contains("node-a (by 9 s)")
    );
    assert_eq!(clock(&Ok((at(0), at(0))), &Err("forbidden".to_owned())).status, Outcome::Pass);
}

#[test]
fn nodes_that_cannot_protect_are_named() {
    let node = |os: &str, kubelet: &str, kernel: &str| {
        serde_json::from_value(json!({
            "metadata": {"name": "n"},
            "status": {"nodeInfo": {
                "operatingSystem": os, "kubeletVersion": kubelet, "kernelVersion": kernel, "architecture": "", "bootID": "",
                "containerRuntimeVersion": "", "kubeProxyVersion": "", "machineID": "", "osImage": "", "systemUUID": "",
            }},
        }))
        .unwrap()
    };
    for (os, kubelet, kernel, expected) in [
        ("linux", "v1.33.0", "6.1.0", Outcome::Pass),
        ("linux", "v1.28.0", "6.1.0", Outcome::Fail),
        ("linux", "v1.33.0", "4.18.0-rhel", Outcome::Warn),
        ("windows", "v1.33.0", "10.0", Outcome::Warn),
    ] {
        let line = nodes(&Ok(vec![node(os, kubelet, kernel)]));
        assert_eq!(line.status, expected, "{os} {kubelet} {kernel}: {}", line.message);
        assert!(
            expected == Outcome::Pass || line.message.contains(": n") || line.message.contains("on n"),
            "{}",
            line.message
        );
    }
    assert_eq!(nodes(&Err("nodes is forbidden".to_owned())).status, Outcome::Warn);
}

#[test]
fn definitions_are_compared_field_by_field() {
    let wanted = needs::crds().remove(0);
    let mut there = wanted.clone();
    there["status"] = json!({"conditions": [{"type": "Established", "status": "True"}]});
    let mut older = there.clone();
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    older.pointer_mut(spec).unwrap().as_object_mut().unwrap().remove("exceptions").unwrap();
    let mut newer = there.clone();
    newer.pointer_mut(spec).unwrap()["canary"] = json!({"type": "string"});
    let mut waiting = there.clone();
    waiting["status"] = json!({});
    for (found, pre, expected, says) in [
        (Ok(Some(there)), false, Outcome::Pass, "of this version"),
        (Ok(Some(older.clone())), false, Outcome::Fail, "lacks v1alpha1.spec.exceptions"),
        (Ok(Some(older)), true, Outcome::Warn, "lacks v1alpha1.spec.exceptions"),
        (Ok(Some(newer)), false, Outcome::Warn, "has v1alpha1.spec.canary"),
        (Ok(Some(waiting)), false, Outcome::Fail, "not established"),
        (Ok(None), false, Outcome::Fail, "is not there"),
        (Ok(None), true, Outcome::Pass, "none is there yet"),
        (Err("forbidden".to_owned()), true, Outcome::Warn, "forbidden"),
    ] {
        let line = crds(&[(wanted.clone(), found)], pre);
        assert_eq!(line.status, expected, "{}", line.message);
        assert!(line.message.contains(says), "{}", line.message);
    }
}

#[test]
fn missing_rights_are_named() {
    let line = rights(&Ok((9, needs::of_operator("rasp"))), false);
    assert_eq!(line.status, Outcome::Fail);
    assert!(line.message.contains(" and ") && line.message.contains("of 9 rights"), "{}", line.message);
    assert_eq!(rights(&Ok((9, vec![])), true).status, Outcome::Pass);
}
