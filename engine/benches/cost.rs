//! What inspecting costs: work units, allocations and time for requests as browsers and services send them.
//! Work and allocations do not depend on the machine; time does, so nothing is asserted on it.
//!
//! `cargo bench -p rasp-engine [-- WORDS]`

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use anyhow::Result;
use rasp_engine::{Body, Effective, Head, Ruleset};

const ROUNDS: u32 = 2_000;

struct Case {
    name: &'static str,
    target: String,
    content_type: &'static [u8],
    body: String,
    fields: &'static [(&'static str, &'static str)],
}

fn main() -> Result<()> {
    let ruleset = Ruleset::build(&Effective::builtin_blocking())?;
    println!("{:<22} {:>7} {:>8} {:>7} {:>9} {:>9}", "case", "bytes", "work", "allocs", "ns", "ns/KB");
    let only = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    for case in cases().into_iter().filter(|case| case.name.contains(&only)) {
        let bytes = case.target.len() + case.body.len();
        let mut work = 0;
        let allocations = allocation_counter::measure(|| work = inspect(&ruleset, &case));
        let start = Instant::now();
        for _ in 0..ROUNDS {
            black_box(inspect(&ruleset, black_box(&case)));
        }
        let nanoseconds = start.elapsed().as_nanos() / u128::from(ROUNDS);
        let per_kilobyte = nanoseconds * 1024 / bytes.max(1) as u128;
        println!(
            "{:<22} {bytes:>7} {work:>8} {:>7} {nanoseconds:>9} {per_kilobyte:>9}",
            case.name, allocations.count_total
        );
    }
    Ok(())
}

fn inspect(ruleset: &Ruleset, case: &Case) -> usize {
    let head = Head {
        method: "POST",
        target: case.target.as_bytes(),
        content_type: Some(case.content_type),
        content_encoding: None,
        fields: &case.fields,
    };
    let mut inspection = ruleset.inspect_head(&head);
    ruleset.inspect_body(&head, Body::Complete(case.body.as_bytes()), &mut inspection);
    let work = inspection.work();
    black_box(ruleset.decide(inspection));
    work
}

fn cases() -> Vec<Case> {
    let case = |name, target: &str, content_type, body: String| Case {
        name,
        target: target.to_owned(),
        content_type,
        body,
        fields: &[],
    };
    let form: &[u8] = b"application/x-www-form-urlencoded";
    let json: &[u8] = b"application/json";
    let prose =
        "The quick brown fox doesn't jump over the lazy dog, or does it? It's 5 o'clock; select a room. ";
    vec![
        case("get /", "/", form, String::new()),
        case(
            "get inert query",
            "/api/v1/items/42/reviews?page=3&sort=price-desc&lang=en",
            form,
            String::new(),
        ),
        case("get encoded query", "/search?q=how+to+order+a+table+for+2%3F&from=home", form, String::new()),
        Case {
            fields: &[
                ("host", "shop.example.com"),
                ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
                ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"),
                ("accept-language", "en-GB,en;q=0.8,de;q=0.5"),
                ("accept-encoding", "gzip, deflate, br, zstd"),
                ("referer", "https://shop.example.com/search?q=tables&page=2"),
                (
                    "cookie",
                    "session=0f8fad5b-d9cb-469f-a165-70867728950e; theme=dark; consent=all%20of%20them",
                ),
                ("sec-fetch-mode", "navigate"),
                ("upgrade-insecure-requests", "1"),
            ],
            ..case("get of a browser", "/search/articles?q=bread&page=3&sort=date", form, String::new())
        },
        case("form 1 KB", "/f", form, "field=some+words+here&".repeat(47)),
        case("json 6 KB", "/j", json, json_document(60)),
        case("json 100 KB", "/j", json, json_document(1_000)),
        case("json 100 KB, prose", "/j", json, json_prose(750)),
        case("text 100 KB", "/t", b"text/plain", prose.repeat(1_040)),
        case("attack", "/?id=1%27%20OR%20%271%27=%271", form, String::new()),
        case("hostile comments", "/t", form, format!("a=1{}", "/**/or/**/1".repeat(10_000))),
        case("hostile quotes", "/t", form, format!("a={}", "'\"`".repeat(30_000))),
        case("hostile parentheses", "/t", form, format!("a={}", "(".repeat(100_000))),
    ]
}

fn json_document(members: usize) -> String {
    let mut text = String::from("[");
    for index in 0..members {
        let _ = write!(
            text,
            r#"{{"id":{index},"name":"Item number {index}","description":"A plain thing, {index} of many","tags":["a","b"]}},"#
        );
    }
    text.push_str("null]");
    text
}

fn json_prose(members: usize) -> String {
    let notes = [
        "Ships within three days, 2 of 5 are left",
        "It's blue; select another colour if you like",
        "Keep dry and away from light (below 25 C)",
        "A plain thing for the kitchen and the garden",
    ];
    let mut text = String::from("[");
    for (index, note) in notes.iter().cycle().take(members).enumerate() {
        let _ = write!(
            text,
            r#"{{"id":{index},"name":"Item number {index}","note":"{note}","price":{index}.95,"tags":["kitchen","blue"],"stock":true}},"#
        );
    }
    text.push_str("null]");
    text
}
