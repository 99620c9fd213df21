//! Paths that servers read in several ways. No policy denies a path, so that what is told here is what the detectors say
//! of one by itself: of climbs out of a directory, of disguises, of files that nobody means to serve. What goes on does so
//! as it came, and a field that some applications take for a path is judged like one. The names are those of ADR 5.

use rasp_engine::Ruleset;
use rasp_policy::api::FailureMode;
use rasp_policy::precedence::Effective;
use rasp_proxy::connection::Target;
use rasp_proxy::policy::InForce;

use super::client::ask;
use super::timers::{ALL_LONG, serve_changed};
use super::upstream::Upstream;

/// Name, request line without its version, a field of the head or none, and the status of the answer.
type Vector = (&'static str, &'static str, &'static str, u16);

const VECTORS: &[Vector] = &[
    ("PA-01", "GET /public/../admin", "", 200),
    ("PA-01 out of everything", "GET /public/../../../../etc/passwd", "", 403),
    ("PA-02", "GET /public/%2e%2e/admin", "", 200),
    ("PA-02 half", "GET /public/.%2e/admin", "", 200),
    ("PA-02 twice", "GET /public/%2e%2e/%2e%2e/admin", "", 403),
    ("PA-02 twin", "GET /public/a%2eb/admin", "", 200),
    ("PA-03", "GET /public/%252e%252e/admin", "", 403),
    ("PA-03 twin", "GET /public/100%2525/admin", "", 200),
    ("PA-04 //", "GET //admin", "", 200),
    ("PA-04 ///", "GET ///admin", "", 200),
    ("PA-04 /./", "GET /./admin", "", 200),
    ("PA-05 %2f", "GET /%2fadmin", "", 200),
    ("PA-05 climb", "GET /public%2f..%2fadmin", "", 403),
    ("PA-05 %5c", "GET /%5cadmin", "", 200),
    ("PA-05 twin", "GET /files/a%2fb", "", 200),
    ("PA-06", "GET \\admin", "", 400),
    ("PA-06 climb", "GET /public\\..\\admin", "", 403),
    ("PA-07", "GET /..;/admin", "", 403),
    ("PA-07 with a value", "GET /public/..;x=1/admin", "", 200),
    ("PA-07 one dot", "GET /.;/admin", "", 200),
    ("PA-07 twin", "GET /public/a;x=1/b", "", 200),
    ("PA-08", "GET /admin;jsessionid=1", "", 200),
    ("PA-08 in between", "GET /admin;a=b/x", "", 200),
    ("PA-09 /", "GET /admin/", "", 200),
    ("PA-09 /.", "GET /admin/.", "", 200),
    ("PA-09 blank", "GET /admin%20", "", 200),
    ("PA-09 dot", "GET /admin.", "", 200),
    ("PA-09 tab", "GET /admin%09", "", 200),
    ("PA-10", "GET /ADMIN", "", 200),
    ("PA-10 escape", "GET /%41dmin", "", 200),
    ("PA-11 climb", "GET /public%00/../../../etc/passwd", "", 403),
    ("PA-12", "GET /admin#x", "", 400),
    ("PA-12 climb", "GET /public#/../admin", "", 400),
    ("PA-13", "GET /admin?", "", 200),
    ("PA-13 escape", "GET /admin%3f", "", 200),
    ("PA-13 in the query", "GET /public?/../admin", "", 200),
    ("PA-14", "GET /%c0%ae%c0%ae/admin", "", 403),
    ("PA-15", "GET /adm%u0069n", "", 200),
    ("PA-19 path", "GET /", "X-Original-URL: /admin", 200),
    ("PA-19 climb", "GET /", "X-Original-URL: /a/../../../etc/passwd", 403),
    ("PA-19 query", "GET /", "X-Rewrite-URL: /?q=1%27%20OR%20%271%27=%271", 403),
    ("PA-19 method", "GET /", "X-HTTP-Method-Override: DELETE", 200),
    ("PA-20 lower case", "get /admin", "", 200),
    ("PA-20 unknown", "GETT /admin", "", 200),
    ("PA-20 one letter", "G /admin", "", 200),
    ("PA-22", "GET /a*b/admin", "", 200),
];

#[test]
fn a_path_that_climbs_or_is_disguised_is_refused_and_others_go_on_as_they_came() {
    let mut wrong = Vec::new();
    for failure_mode in [FailureMode::Open, FailureMode::Closed] {
        let upstream = Upstream::ok();
        let target = Target::Gateway(upstream.address.to_string().into(), upstream.address.port());
        let inside = serve_changed(target, ALL_LONG, 1 << 20, |_| {});
        let effective = Effective { failure_mode, ..Effective::builtin_blocking() };
        inside.policy.replace(InForce::builtin(Ruleset::build(&effective).unwrap()));
        for (name, line, field, expected) in VECTORS {
            let field = if field.is_empty() { String::new() } else { format!("{field}\r\n") };
            let before = upstream.connections();
            let status = ask(inside.address, format!("{line} HTTP/1.1\r\nHost: app\r\n{field}\r\n")).status();
            let arrived = String::from_utf8(upstream.since(before)).unwrap();
            let is_whole =
                if status == 200 { arrived.starts_with(&format!("{line} ")) } else { arrived.is_empty() };
            if status != *expected || !is_whole {
                wrong.push(format!(
                    "{name}, {failure_mode:?}: {status} instead of {expected}, arrived {arrived:?}"
                ));
            }
        }
        // PA-21: the time of a test would tell, if it were not linear. Nothing but dots is the name of a file.
        for (long, expected) in
            [("../".repeat(1_000), 403), ("%2e%2e%2f".repeat(900), 403), ("%2e".repeat(2_700), 200)]
        {
            let status =
                ask(inside.address, format!("GET /{long}admin HTTP/1.1\r\nHost: app\r\n\r\n")).status();
            if status != expected {
                wrong.push(format!("PA-21, {failure_mode:?}: {status} instead of {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
