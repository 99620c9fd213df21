//! Signatures that a policy carries: in force without a new version, tried before they are taken.

use super::client::{Client, get};
use super::gateway::{Gateway, document};
use super::upstream::Upstream;

/// A policy with one signature, which sees these texts in a path.
fn spec(mode: &str, text: &str, attack: &str) -> String {
    format!(
        "{{mode: {mode}, signatures: [{{id: local-cve-2026-1, cve: CVE-2026-1, date: '2026-11-26', title: 'A: b', \
         confidence: Certain, path: [{{contains: [{text}]}}], parameters: [{{name: [run]}}], \
         attacks: ['{attack}'], ordinary: ['GET /admin/report']}}]}}"
    )
}

fn status(gateway: &Gateway, target: &str) -> u16 {
    let mut client = Client::connect(gateway.address);
    client.send(get(target));
    client.response().status()
}

#[test]
fn a_signature_of_a_policy_blocks_like_one_of_the_program_and_is_told_by_its_id() {
    let upstream = Upstream::ok();
    let gateway = Gateway::with(upstream.address, &spec("Block", "/admin/report", "GET /admin/report?run=x"));
    assert_eq!(status(&gateway, "/admin/report?run=1"), 403);
    assert_eq!(status(&gateway, "/%61dmin/./report?a=1&run"), 403);
    assert_eq!(status(&gateway, "/admin/report"), 200);
    assert_eq!(status(&gateway, "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php"), 403);
    let event = &gateway.events(1)[0];
    assert_eq!(event["unmapped"]["rule"], "local-cve-2026-1");
    assert_eq!(event["unmapped"]["class"], "known_exploit");
    assert_eq!(event["finding_info"]["title"], "the request is shaped like an exploit of CVE-2026-1, A: b");
    assert!(!upstream.text().contains("run"));
}

#[test]
fn a_signature_comes_and_goes_with_the_policy_and_one_that_is_wrong_changes_nothing() {
    let upstream = Upstream::ok();
    let gateway = Gateway::with(upstream.address, "{mode: Block}");
    assert_eq!(status(&gateway, "/admin/report?run=1"), 200);
    gateway.change_policy(&document(&spec("Block", "/admin/report", "GET /admin/report?run=x")));
    assert_eq!(status(&gateway, "/admin/report?run=1"), 403);
    gateway.change_policy(&document(&spec("Monitor", "/admin/report", "GET /admin/report?run=x")));
    assert_eq!(status(&gateway, "/admin/report?run=1"), 200);
    gateway.change_policy(&document(&spec("Block", "/admin/report", "GET /admin/other?run=x")));
    gateway.wait_for_log("signatures[local-cve-2026-1]: attacks[0] is not seen by it");
    assert_eq!(status(&gateway, "/admin/report?run=1"), 200, "the last good policy stays");
    let with_exception = spec("Block", "/admin/report", "GET /admin/report?run=x").replacen(
        "{mode",
        "{exceptions: [{name: ours, rule: local-cve-2026-1, path: /admin/report, reason: r}], mode",
        1,
    );
    gateway.change_policy(&document(&with_exception));
    assert_eq!(status(&gateway, "/admin/report?run=1"), 200);
    assert_eq!(status(&gateway, "/b/admin/report?run=1"), 403);
}
