//! What inspecting costs, in allocations and, where valgrind is installed, in instructions. Neither depends on how busy
//! the machine is. A request without SQL costs one pass over its bytes and no allocation.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot build")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::process::Command;

use rasp_engine::{Body, Effective, Head, Ruleset};

mod valgrind;

fn inspect(ruleset: &Ruleset, target: &str, content_type: &str, body: &str) {
    inspect_with(ruleset, target, &[], content_type, body);
}

fn inspect_with(ruleset: &Ruleset, target: &str, fields: &[(&str, &str)], content_type: &str, body: &str) {
    let head = Head {
        method: "POST",
        target: target.as_bytes(),
        content_type: Some(content_type.as_bytes()),
        content_encoding: None,
        fields: &fields,
    };
    let mut inspection = ruleset.inspect_head(&head);
    ruleset.inspect_body(&head, Body::Complete(body.as_bytes()), &mut inspection);
    drop(black_box(ruleset.decide(inspection)));
}

fn allocations(target: &str, content_type: &str, body: &str) -> u64 {
    let ruleset = Ruleset::build(&Effective::builtin_blocking()).unwrap();
    inspect(&ruleset, target, content_type, body); // the first time lists of words are compiled
    allocation_counter::measure(|| inspect(&ruleset, target, content_type, body)).count_total
}

#[test]
fn an_ordinary_request_allocates_nothing() {
    assert_eq!(allocations("/", "", ""), 0);
    assert_eq!(allocations("/api/v1/items/42?page=3&sort=price-desc", "", ""), 0);
    assert_eq!(allocations("/", "application/x-www-form-urlencoded", "name=Ada&city=London"), 0);
    // Signatures of known exploits look at these.
    assert_eq!(allocations("/blog/index.php?s=words&jsp=1", "application/json", r#"{"name":"Ada"}"#), 0);
    assert_eq!(allocations("/", "application/json", r#"{"name":"Ada","tags":["a","b c"],"n":1}"#), 0);
    assert_eq!(allocations("/", "text/plain", "It's a sentence, and it doesn't allocate; or does it?"), 0);
}

/// As a browser sends them.
const BROWSER: &[(&str, &str)] = &[
    ("host", "shop.example.com"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    ("accept-language", "en-GB,en;q=0.8,de;q=0.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("referer", "https://shop.example.com/search/articles?q=bread&page=2&sort=price-desc"),
    ("cookie", "session=0f8fad5b-d9cb-469f-a165-70867728950e; theme=dark; _ga=GA1.2.1234567890.1234567890"),
    ("sec-ch-ua", "\"Chromium\";v=\"128\", \"Not;A=Brand\";v=\"24\""),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-mode", "navigate"),
    ("upgrade-insecure-requests", "1"),
    ("x-forwarded-for", "203.0.113.7, 10.0.0.1"),
    ("x-request-id", "0f8fad5b-d9cb-469f-a165-70867728950e"),
];

#[test]
fn the_fields_of_a_browser_allocate_nothing() {
    let ruleset = Ruleset::build(&Effective::builtin_blocking()).unwrap();
    let inspect = || inspect_with(&ruleset, "/api/v1/items/42?page=3&sort=price-desc", BROWSER, "", "");
    assert_eq!(allocation_counter::measure(inspect).count_total, 0);
}

#[test]
fn decoding_reuses_its_buffers() {
    let body = "field=some+words&".repeat(1_000);
    // The values of the one name are joined as well.
    assert!(allocations("/", "application/x-www-form-urlencoded", &body) <= 16);
}

/// A request, its type, its body, and what inspecting it cost when the numbers were written: allocations, and
/// instructions as tests are compiled.
struct Case {
    name: &'static str,
    target: &'static str,
    content_type: &'static str,
    body: String,
    fields: &'static [(&'static str, &'static str)],
    allocations: u64,
    instructions: f64,
}

/// What `bench/` sends, or close to it.
fn cases() -> [Case; 6] {
    let case = |name, target, content_type, body, allocations, instructions| Case {
        name,
        target,
        content_type,
        body,
        fields: &[],
        allocations,
        instructions,
    };
    let parameters = "/search/articles?q=how+to+bake+bread&page=3&per_page=25&sort=date&order=desc&lang=en-GB\
        &category=kitchen%20and%20home&from=2026-01-01&utm_source=newsletter&session=0f8fad5b-d9cb-469f-a165-70867728950e";
    let form = NOTES.iter().cycle().take(27).enumerate().fold(String::new(), |mut form, (line, note)| {
        let note = note.replace('\'', "%27").replace(';', "%3B").replace(',', "%2C").replace(' ', "+");
        let _ = write!(form, "item_{line}=Item+number+{line}&note_{line}={note}&count_{line}={line}&");
        form
    });
    [
        case("parameters", parameters, "", String::new(), 1, 30_300.0),
        Case {
            fields: BROWSER,
            ..case("parameters and a browser", parameters, "", String::new(), 1, 57_500.0)
        },
        case("form of 2 KiB", "/orders", "application/x-www-form-urlencoded", form, 3, 247_100.0),
        case("JSON of 10 KiB", "/orders", "application/json", json(75), 0, 488_600.0),
        case("JSON of 100 KiB", "/orders", "application/json", json(750), 0, 4_821_400.0),
        case("an attack", "/items?id=1%27%20OR%20%271%27=%271&page=2", "", String::new(), 6, 22_900.0),
    ]
}

/// As in `bench/src/scenario.rs`.
const NOTES: [&str; 4] = [
    "Ships within three days, 2 of 5 are left",
    "It's blue; select another colour if you like",
    "Keep dry and away from light (below 25 C)",
    "A plain thing for the kitchen and the garden",
];

fn json(members: usize) -> String {
    let mut text = String::from(r#"{"orders":["#);
    for (id, note) in NOTES.iter().cycle().take(members).enumerate() {
        let _ = write!(
            text,
            r#"{{"id":{id},"name":"Item number {id}","note":"{note}","price":{id}.95,"tags":["kitchen","blue"],"stock":true}},"#
        );
    }
    text + "null]}"
}

#[test]
fn no_request_of_the_bench_allocates_more_than_it_did() {
    let found = cases().map(|case| allocations(case.target, case.content_type, &case.body));
    for (case, count) in cases().iter().zip(found) {
        assert!(
            count <= case.allocations,
            "{}: {count}, it was {}; all: {found:?}",
            case.name,
            case.allocations
        );
    }
}

/// Another compiler may count a little more or less; more than this is a regression.
const ROOM: f64 = 1.25;
const WORK: &str = "RASP_TEST_WORK";
const TIMES: &str = "RASP_TEST_TIMES";

#[test]
fn no_request_of_the_bench_costs_more_instructions_than_it_did() {
    if valgrind::is_missing() {
        return;
    }
    // The first time lists of words are compiled; what each further one costs counts.
    let found = cases().map(|case| (instructions(case.name, 2) - instructions(case.name, 1)).round());
    for (case, count) in cases().iter().zip(found) {
        let (was, name) = (case.instructions, case.name);
        assert!(count < was * ROOM, "{name}: {count} instructions, it was {was}; all: {found:?}");
        assert!(
            count > was / ROOM,
            "{name}: only {count}, it was {was}: write down the new number; all: {found:?}"
        );
    }
}

/// Instructions of the test below in a process of its own.
fn instructions(case: &str, times: usize) -> f64 {
    let own = std::env::current_exe().unwrap();
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(own);
    command.args(["--exact", "what_valgrind_counts"]).env(WORK, case).env(TIMES, times.to_string());
    let output = command.output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    let collected = log.lines().find_map(|line| Some(line.split_once("Collected : ")?.1));
    collected.unwrap().trim().parse().unwrap()
}

#[test]
fn what_valgrind_counts() {
    let Ok(name) = std::env::var(WORK) else { return };
    let ruleset = Ruleset::build(&Effective::builtin_blocking()).unwrap();
    let times: usize = std::env::var(TIMES).unwrap().parse().unwrap();
    for case in cases().into_iter().filter(|case| case.name == name) {
        for _ in 0..times {
            inspect_with(&ruleset, case.target, case.fields, case.content_type, &case.body);
        }
    }
}
