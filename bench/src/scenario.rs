//! What is sent: the requests and clients that every contender gets.

use std::fmt::Write as _;

use bytes::Bytes;

/// How requests arrive.
#[derive(Clone, Copy, Debug)]
pub enum Clients {
    /// So many connections that are kept alive.
    Kept(usize),
    /// So many clients, each request over a connection of its own.
    Each(usize),
    /// So many streams of one HTTP/2 connection.
    Streams(usize),
}

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// In words.
    pub name: &'static str,
    /// Bytes of one request of HTTP/1.
    pub request: Bytes,
    /// How requests arrive.
    pub clients: Clients,
    /// Whether the proxy that is judged refuses it.
    pub refused: bool,
    /// What CPU per request may be at most, in multiples of the naive proxy's.
    pub target: Option<f64>,
}

impl Scenario {
    /// Whether it is about HTTP/2.
    pub fn is_http2(&self) -> bool {
        matches!(self.clients, Clients::Streams(_))
    }
}

const CONNECTIONS: usize = 16;

/// Every scenario, in the order of the table.
pub fn all() -> Vec<Scenario> {
    let kept = Clients::Kept(CONNECTIONS);
    let scenario = |name, request: &str, clients, target| Scenario {
        name,
        request: Bytes::from(request.to_owned()),
        clients,
        refused: false,
        target,
    };
    let get = get("/", false);
    let blocked = get_blocked();
    vec![
        scenario("GET /", &get, kept, Some(1.25)),
        scenario("GET, 10 parameters, a browser's fields", &get_parameters(), kept, Some(1.5)),
        scenario(
            "form of 2 KiB",
            &post("application/x-www-form-urlencoded", &form(2 << 10)),
            kept,
            Some(1.6),
        ),
        scenario("JSON of 10 KiB", &post("application/json", &json(10 << 10)), kept, Some(2.0)),
        scenario("JSON of 100 KiB", &post("application/json", &json(100 << 10)), kept, Some(2.5)),
        Scenario { refused: true, ..scenario("SQL injection, refused", &blocked, kept, Some(1.0)) },
        scenario("GET /, 64 connections", &get, Clients::Kept(64), None),
        scenario("GET /, 256 connections", &get, Clients::Kept(256), None),
        scenario("GET /, a connection each", &get, Clients::Each(CONNECTIONS), None),
        scenario("GET /, 16 streams of HTTP/2", "", Clients::Streams(16), None),
    ]
}

fn get(target: &str, browser: bool) -> String {
    let fields = if browser { BROWSER } else { "User-Agent: bench/1.0\r\nAccept: */*\r\n" };
    format!("GET {target} HTTP/1.1\r\nHost: app.example\r\n{fields}\r\n")
}

fn get_parameters() -> String {
    get(
        "/search/articles?q=how+to+bake+bread&page=3&per_page=25&sort=date&order=desc&lang=en-GB&category=kitchen%20and%20home\
         &from=2026-01-01&utm_source=newsletter&session=0f8fad5b-d9cb-469f-a165-70867728950e",
        true,
    )
}

fn get_blocked() -> String {
    get("/items?id=1%27%20OR%20%271%27=%271&page=2", true)
}

fn post(media_type: &str, body: &str) -> String {
    format!(
        "POST /orders HTTP/1.1\r\nHost: app.example\r\n{BROWSER}Content-Type: {media_type}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

const BROWSER: &str = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-GB,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nReferer: https://app.example/search\r\nDNT: 1\r\n\
    Cookie: session=7c9e6679742540de944be07fc1f90ae7; theme=dark; consent=yes\r\nUpgrade-Insecure-Requests: 1\r\n\
    Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-User: ?1\r\n";

/// What people write: some of it has apostrophes, parentheses and words of SQL, which is where inspecting costs.
const NOTES: [&str; 4] = [
    "Ships within three days, 2 of 5 are left",
    "It's blue; select another colour if you like",
    "Keep dry and away from light (below 25 C)",
    "A plain thing for the kitchen and the garden",
];

fn form(bytes: usize) -> String {
    let mut body = String::new();
    for (index, note) in NOTES.iter().cycle().enumerate() {
        if body.len() >= bytes {
            break;
        }
        let separator = if index == 0 { "" } else { "&" };
        let note = note.replace('\'', "%27").replace(';', "%3B").replace(',', "%2C").replace(' ', "+");
        let _ = write!(
            body,
            "{separator}item_{index}=Item+number+{index}&note_{index}={note}&count_{index}={index}"
        );
    }
    body
}

fn json(bytes: usize) -> String {
    let mut body = String::from(r#"{"orders":["#);
    for (index, note) in NOTES.iter().cycle().enumerate() {
        if body.len() >= bytes {
            break;
        }
        let separator = if index == 0 { "" } else { "," };
        let _ = write!(
            body,
            r#"{separator}{{"id":{index},"name":"Item number {index}","note":"{note}","price":{index}.95,"tags":["kitchen","blue"],"stock":true}}"#
        );
    }
    body.push_str("]}");
    body
}
