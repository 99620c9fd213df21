//! The vectors: what a client may send, and what must become of it.
//!
//! `¶` is CRLF, `«ff»` a byte, `«a*900»` a repetition. Ids are by family and never reused. Ideas from RFC 9110, RFC
//! 9112, and from what is public about request smuggling; the bytes are our own.

/// What must become of a vector.
pub enum Expect {
    /// Refused with this status; not a byte reaches the application.
    Refused(u16),
    /// So many requests reach the application, in canonical form: with these bytes somewhere, without those.
    Passed(usize, &'static [&'static str], &'static [&'static str]),
    /// The application sees the beginning of a request, and that it was broken off.
    Aborted,
}

pub struct Vector {
    pub id: &'static str,
    pub bytes: &'static str,
    pub expect: Expect,
}

const fn no(id: &'static str, status: u16, bytes: &'static str) -> Vector {
    Vector { id, bytes, expect: Expect::Refused(status) }
}

const fn yes(id: &'static str, bytes: &'static str, has: &'static [&'static str]) -> Vector {
    Vector { id, bytes, expect: Expect::Passed(1, has, &[]) }
}

const fn lacks(
    id: &'static str,
    bytes: &'static str,
    has: &'static [&'static str],
    lacks: &'static [&'static str],
) -> Vector {
    Vector { id, bytes, expect: Expect::Passed(1, has, lacks) }
}

const fn two(id: &'static str, bytes: &'static str, has: &'static [&'static str]) -> Vector {
    Vector { id, bytes, expect: Expect::Passed(2, has, &[]) }
}

/// Where a body ends, by length.
const LENGTH: [Vector; 35] = [
    yes(
        "len-01",
        "POST /l HTTP/1.1¶Host: app¶Content-Length: 4¶¶abcd",
        &["Content-Length: 4\r\n", "\r\n\r\nabcd"],
    ),
    yes("len-02", "POST /l HTTP/1.1¶Host: app¶content-length:4¶¶abcd", &["abcd"]),
    yes("len-03", "POST /l HTTP/1.1¶Host: app¶Content-Length: 0¶¶", &["Content-Length: 0\r\n"]),
    yes(
        "len-04",
        "GET /l HTTP/1.1¶Host: app¶Content-Length: 4¶¶abcd",
        &["Content-Length: 4\r\n", "\r\n\r\nabcd"],
    ),
    lacks(
        "len-05",
        "POST /l HTTP/1.1¶Host: app¶Content-Length: 0004¶¶abcd",
        &["Content-Length: 4\r\n"],
        &["Content-Length: 0"],
    ),
    lacks(
        "len-06",
        "POST /l HTTP/1.1¶Host: app¶Content-Length: 00¶¶",
        &["Content-Length: 0\r\n"],
        &["Content-Length: 00"],
    ),
    two(
        "len-07",
        "POST /l HTTP/1.1¶Host: app¶Content-Length: 4¶¶abcdGET /second HTTP/1.1¶Host: app¶¶",
        &["GET /second "],
    ),
    two("len-08", "POST /l HTTP/1.1¶Host: app¶¶GET /second HTTP/1.1¶Host: app¶¶", &["GET /second "]),
    yes("len-09", "POST /l HTTP/1.1¶Host: app¶Content-Length: 4¶¶¶¶¶", &["\r\n\r\n\r\n\r\n"]),
    no("len-10", 400, "POST /l HTTP/1.1¶Host: app¶Content-Length: 4¶Content-Length: 4¶¶abcd"),
    no(
        "len-11",
        400,
        "POST /l HTTP/1.1¶Host: app¶Content-Length: 4¶Content-Length: 30¶¶abcdGET /s HTTP/1.1¶Host: app¶¶",
    ),
    no("len-12", 400, "POST /l HTTP/1.1¶Host: app¶Content-Length: 4,4¶¶abcd"),
    no("len-13", 400, "POST /l HTTP/1.1¶Host: app¶Content-Length: 4, 7¶¶abcd"),
    no("len-14", 400, "POST /l HTTP/1.1¶Host: app¶Content-Length: +4¶¶abcd"),
    no("len-15", 400, "POST /l HTTP/1.1¶Host: app¶Content-Length: -4¶¶abcd"),
    no("len-16", 400, "POST /l HTTP/1.1¶Host: app¶Content-Length: 0x4¶¶abcd"),
    no("len-17", 400, "POST /l HTTP/1.1¶Host: app¶Content-Length: 4_0¶¶abcd"),
    no("len-18", 400, "POST /l HTTP/1.1¶Host: app¶Content-Length:¶¶"),
    no(
        "len-19",
        400,
        "POST /l HTTP/1.1¶Host: app¶Content-Length:¶Content-Length: 29¶¶GET /s HTTP/1.1¶Host: app¶¶",
    ),
    no("len-20", 400, "POST /l HTTP/1.1¶Host: app¶Content-Length: 18446744073709551616¶¶a"),
    no("len-21", 400, "POST /l HTTP/1.1¶Host: app¶Content-Length: 18446744073709551615¶¶a"),
    no("len-22", 400, "POST /l HTTP/1.1¶Host: app¶Content-Length: 9223372036854775808¶¶a"),
    no("len-23", 400, "POST /l HTTP/1.1¶Host: app¶Content-Length: 4 4¶¶abcd"),
    no("len-24", 400, "POST /l HTTP/1.1¶Host: app¶Content-Length: 4«0c»¶¶abcd"),
    no("len-25", 400, "POST /l HTTP/1.1¶Host: app¶Content-Length: 4«00»¶¶abcd"),
    no("len-26", 400, "POST /l HTTP/1.1¶Host: app¶Content-Length: 4«a0»¶¶abcd"),
    no("len-27", 400, "POST /l HTTP/1.1¶Host: app¶Content-Length: 4a¶¶abcd"),
    no("len-28", 400, "POST /l HTTP/1.1¶Host: app¶Content-Length: 4.0¶¶abcd"),
    no("len-29", 400, "POST /l HTTP/1.1¶Host: app¶Content-Length: 4e0¶¶abcd"),
    no("len-30", 400, "POST /l HTTP/1.1¶Host: app¶Content-Length: \"4\"¶¶abcd"),
    no("len-31", 400, "POST /l HTTP/1.1¶Host: app¶Content-Length: «d9a4»¶¶abcd"),
    no("len-32", 400, "POST /l HTTP/1.1¶Host: app¶Content-Length: «0*40»4¶¶abcd"),
    no("len-33", 400, "POST /l HTTP/1.1¶Host: app¶Content-Length : 4¶¶abcd"),
    no("len-34", 400, "POST /l HTTP/1.1¶Host: app¶Content_Length: 4¶¶"),
    no("len-35", 400, "POST /l HTTP/1.1¶Host: app¶Content-Length 4¶¶abcd"),
];

/// Where a body ends, by transfer coding.
const CODING: [Vector; 34] = [
    yes("cod-01", "POST /c HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶4¶abcd¶0¶¶", &["chunked\r\n"]),
    lacks(
        "cod-02",
        "POST /c HTTP/1.1¶Host: app¶Transfer-Encoding: Chunked¶¶4¶abcd¶0¶¶",
        &[": chunked\r\n"],
        &["Chunked"],
    ),
    yes("cod-03", "GET /c HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶4¶abcd¶0¶¶", &["chunked\r\n"]),
    two(
        "cod-04",
        "POST /c HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶4¶abcd¶0¶¶GET /second HTTP/1.1¶Host: app¶¶",
        &["GET /second "],
    ),
    yes("cod-05", "GET /c HTTP/1.1¶Host: app¶TE: trailers¶Connection: TE¶¶", &["trailers\r\n"]),
    no("cod-06", 400, "POST /c HTTP/1.1¶Host: app¶Content-Length: 5¶Transfer-Encoding: chunked¶¶0¶¶"),
    no("cod-07", 400, "POST /c HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶Content-Length: 5¶¶0¶¶"),
    no("cod-08", 400, "POST /c HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶Content-Length: 0¶¶0¶¶"),
    no("cod-09", 400, "POST /c HTTP/1.1¶Host: app¶Transfer-Encoding: identity¶Content-Length: 4¶¶abcd"),
    no("cod-10", 400, "POST /c HTTP/1.1¶Host: app¶Transfer-Encoding: chunked, gzip¶¶4¶abcd¶0¶¶"),
    no("cod-11", 501, "POST /c HTTP/1.1¶Host: app¶Transfer-Encoding: gzip, chunked¶¶4¶abcd¶0¶¶"),
    no("cod-12", 501, "POST /c HTTP/1.1¶Host: app¶Transfer-Encoding: identity,chunked¶¶4¶abcd¶0¶¶"),
    no(
        "cod-13",
        400,
        "POST /c HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶Transfer-Encoding: chunked¶¶0¶¶",
    ),
    no("cod-14", 400, "POST /c HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶Transfer-Encoding: x¶¶0¶¶"),
    no("cod-15", 400, "POST /c HTTP/1.1¶Host: app¶Transfer-Encoding: x¶Transfer-Encoding: chunked¶¶0¶¶"),
    no("cod-16", 400, "POST /c HTTP/1.1¶Host: app¶Transfer-Encoding: chunked, chunked¶¶0¶¶"),
    no("cod-17", 400, "POST /c HTTP/1.1¶Host: app¶Transfer-Encoding: chunked,¶¶0¶¶"),
    no("cod-18", 400, "POST /c HTTP/1.1¶Host: app¶Transfer-Encoding: , chunked¶¶0¶¶"),
    no("cod-19", 400, "POST /c HTTP/1.1¶Host: app¶Transfer-Encoding:¶¶0¶¶"),
    no("cod-20", 400, "POST /c HTTP/1.1¶Host: app¶Transfer-Encoding: xchunked¶Content-Length: 4¶¶abcd"),
    no("cod-21", 400, "POST /c HTTP/1.1¶Host: app¶Transfer-Encoding: chunkedx¶¶0¶¶"),
    no("cod-22", 400, "POST /c HTTP/1.1¶Host: app¶Transfer-Encoding: «0b»chunked¶¶0¶¶"),
    no("cod-23", 400, "POST /c HTTP/1.1¶Host: app¶Transfer-Encoding: 'chunked'¶¶0¶¶"),
    no("cod-24", 400, "POST /c HTTP/1.1¶Host: app¶Transfer-Encoding: chunked;a=b¶¶0¶¶"),
    no("cod-25", 400, "POST /c HTTP/1.1¶Host: app¶Transfer-Encoding: chunked«a0»¶¶0¶¶"),
    no("cod-26", 400, "POST /c HTTP/1.1¶Host: app¶Transfer-Encoding: chun«c4b7»ed¶¶0¶¶"),
    no("cod-27", 400, "POST /c HTTP/1.0¶Host: app¶Transfer-Encoding: chunked¶¶0¶¶"),
    no("cod-28", 400, "POST /c HTTP/1.1¶Host: app¶Transfer-Encoding : chunked¶¶0¶¶"),
    no("cod-29", 400, "POST /c HTTP/1.1¶Host: app¶Transfer-Encoding«09»: chunked¶¶0¶¶"),
    no("cod-30", 400, "POST /c HTTP/1.1¶Host: app¶Transfer_Encoding: chunked¶Content-Length: 5¶¶0¶¶"),
    no("cod-31", 400, "POST /c HTTP/1.1¶Host: app¶Transfer-Encoding:¶ chunked¶Content-Length: 5¶¶0¶¶"),
    no("cod-32", 400, "POST /c HTTP/1.1¶Host: app¶«01»Transfer-Encoding: chunked¶Content-Length: 5¶¶0¶¶"),
    no("cod-33", 400, "POST /c HTTP/1.1¶Host: app¶Content-Length: 5¶X: a«0d»Transfer-Encoding: chunked¶¶0¶¶"),
    no("cod-34", 400, "POST /c HTTP/1.1¶Host: app¶Content-Length: 5¶X: a«0a»Transfer-Encoding: chunked¶¶0¶¶"),
];

/// `POST /k` with a body in chunks is what all of these begin with.
const CHUNKS: [Vector; 35] = [
    lacks(
        "chu-01",
        "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶4;x=y;z¶abcd¶0;end¶¶",
        &["abcd"],
        &["x=y", "end"],
    ),
    yes(
        "chu-02",
        "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶4;x=\"a;b \\\" c\"¶abcd¶0¶¶",
        &["abcd"],
    ),
    yes(
        "chu-03",
        "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶000A¶0123456789¶00¶¶",
        &["0123456789"],
    ),
    yes("chu-04", "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶1¶a¶1¶b¶a¶0123456789¶0¶¶", &[]),
    lacks(
        "chu-05",
        "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶4¶abcd¶0¶X-Sum: 1¶¶",
        &["abcd"],
        &["X-Sum: 1\r\nHost"],
    ),
    yes("chu-06", "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶«0*15»4¶abcd¶0¶¶", &["abcd"]),
    no("chu-07", 400, "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶4«0a»abcd¶0¶¶"),
    no("chu-08", 400, "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶4;x«0a»abcd¶0¶¶"),
    no("chu-09", 400, "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶0x4¶abcd¶0¶¶"),
    no("chu-10", 400, "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶+4¶abcd¶0¶¶"),
    no("chu-11", 400, "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶-4¶abcd¶0¶¶"),
    no("chu-12", 400, "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶4_0¶abcd¶0¶¶"),
    no("chu-13", 400, "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶ 4¶abcd¶0¶¶"),
    no("chu-14", 400, "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶4 ¶abcd¶0¶¶"),
    no("chu-15", 400, "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶4«09»;x¶abcd¶0¶¶"),
    no("chu-16", 400, "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶¶¶"),
    no("chu-17", 400, "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶10000000000000004¶abcd¶0¶¶"),
    no("chu-18", 400, "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶«0*3000»4¶abcd¶0¶¶"),
    no("chu-19", 400, "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶4¶abcdXX0¶¶"),
    no("chu-20", 400, "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶4¶abcd«0d»X0¶¶"),
    no("chu-21", 400, "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶4¶abcd«0a»0¶¶"),
    no("chu-22", 400, "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶4¶abcd¶¶0¶¶"),
    no("chu-23", 400, "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶4«0d»¶abcd¶0¶¶"),
    no("chu-24", 400, "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶4¶abcd¶0¶«0a»"),
    no("chu-25", 400, "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶4¶abcd¶0¶NoColon¶¶"),
    no("chu-26", 400, "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶4¶abcd¶0¶Content-Length: 9¶¶"),
    no("chu-27", 400, "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶4¶abcd¶0¶Host: other¶¶"),
    no("chu-28", 400, "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶4;«x*9000»¶abcd¶0¶¶"),
    no("chu-29", 431, "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶0¶«X: y¶*101»¶"),
    no("chu-30", 400, "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶4;«00»=1¶abcd¶0¶¶"),
    no("chu-31", 400, "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶4;x=\"a«0d»b\"¶abcd¶0¶¶"),
    Vector {
        id: "chu-32",
        bytes: "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶4¶ab",
        expect: Expect::Aborted,
    },
    no(
        "chu-33",
        400,
        "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶Trailer: X-Original-URL¶¶0¶X-Original-URL: /other¶¶",
    ),
    no(
        "chu-34",
        400,
        "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶¶0¶X.Forwarded.For: 192.0.2.1¶¶",
    ),
    lacks(
        "chu-35",
        "POST /k HTTP/1.1¶Host: app¶Transfer-Encoding: chunked¶Connection: trailer¶Trailer: X-A¶¶0¶X-A: 1¶¶",
        &[],
        &["X-A"],
    ),
];

/// Request lines and targets.
const LINES: [Vector; 53] = [
    yes("lin-01", "GET /r?a=1&b=%20%0a HTTP/1.1¶Host: app¶¶", &["GET /r?a=1&b=%20%0a HTTP/1.1\r\n"]),
    yes("lin-02", "GET / HTTP/1.0¶¶", &["GET / HTTP/1."]),
    yes("lin-03", "¶GET /r HTTP/1.1¶Host: app¶¶", &["GET /r HTTP/1.1\r\n"]),
    yes("lin-04", "¶¶GET /r HTTP/1.1¶Host: app¶¶", &["GET /r HTTP/1.1\r\n"]),
    yes("lin-05", "OPTIONS * HTTP/1.1¶Host: app¶¶", &["OPTIONS * HTTP/1.1\r\n"]),
    yes("lin-06", "get /r HTTP/1.1¶Host: app¶¶", &["get /r HTTP/1.1\r\n"]),
    yes("lin-07", "PROPFIND /r HTTP/1.1¶Host: app¶¶", &["PROPFIND /r HTTP/1.1\r\n"]),
    yes("lin-08", "GET //other/x HTTP/1.1¶Host: app¶¶", &["GET //other/x HTTP/1.1\r\n"]),
    yes("lin-09", "GET http://app/x?y HTTP/1.1¶Host: app¶¶", &["GET /x?y HTTP/1.1\r\n", "Host: app\r\n"]),
    yes("lin-10", "GET HTTP://APP HTTP/1.1¶Host: app¶¶", &["GET / HTTP/1.1\r\n", "Host: app\r\n"]),
    yes("lin-11", "GET http://app?y HTTP/1.1¶Host: app¶¶", &["GET /?y HTTP/1.1\r\n"]),
    yes("lin-12", "GET http://app/x HTTP/1.0¶¶", &["GET /x HTTP/1.", "Host: app\r\n"]),
    yes("lin-13", "GET /<b>?q=\"<>\" HTTP/1.1¶Host: app¶¶", &["GET /%3Cb%3E?q=%22%3C%3E%22 HTTP/1.1\r\n"]),
    yes("lin-14", "GET /caf«c3a9»«ff» HTTP/1.1¶Host: app¶¶", &["GET /caf%C3%A9%FF HTTP/1.1\r\n"]),
    yes("lin-15", "GET /a%zz%1?%u0041 HTTP/1.1¶Host: app¶¶", &["GET /a%zz%1?%u0041 HTTP/1.1\r\n"]),
    yes("lin-16", "GET /a\\b\\c HTTP/1.1¶Host: app¶¶", &["GET /a\\b\\c HTTP/1.1\r\n"]),
    yes("lin-17", "GET /%00?%00 HTTP/1.1¶Host: app¶¶", &["GET /%00?%00 HTTP/1.1\r\n"]),
    yes("lin-18", "GET /a{b}|c^`d HTTP/1.1¶Host: app¶¶", &["GET /a{b}|c^%60d HTTP/1.1\r\n"]),
    yes("lin-19", "GET /«a*8000» HTTP/1.1¶Host: app¶¶", &["aaaa HTTP/1.1\r\n"]),
    no("lin-20", 400, "GET /r HTTP/1.1«0a»Host: app«0a0a»"),
    no("lin-21", 400, "GET /r HTTP/1.1«0d»Host: app«0d0d»"),
    no("lin-22", 400, "GET«09»/r HTTP/1.1¶Host: app¶¶"),
    no("lin-23", 400, "GET  /r HTTP/1.1¶Host: app¶¶"),
    no("lin-24", 400, "GET /r  HTTP/1.1¶Host: app¶¶"),
    no("lin-25", 400, "GET /r HTTP/1.1 ¶Host: app¶¶"),
    no("lin-26", 400, " GET /r HTTP/1.1¶Host: app¶¶"),
    no("lin-27", 505, "GET /r HTTP/1.9¶Host: app¶¶"),
    no("lin-28", 505, "GET /r HTTP/3.0¶Host: app¶¶"),
    no("lin-29", 400, "GET /r Http/1.1¶Host: app¶¶"),
    no("lin-30", 400, "GET /r HTTP/1.10¶Host: app¶¶"),
    no("lin-31", 400, "GET /r¶¶"),
    no("lin-32", 400, "GET /r s HTTP/1.1¶Host: app¶¶"),
    no("lin-33", 400, "GET /r«00»s HTTP/1.1¶Host: app¶¶"),
    no("lin-34", 400, "GET /r«08»s HTTP/1.1¶Host: app¶¶"),
    no("lin-35", 400, "GET /r«7f»s HTTP/1.1¶Host: app¶¶"),
    no("lin-36", 400, "GET /r#s HTTP/1.1¶Host: app¶¶"),
    no("lin-37", 400, "GET http://other/x HTTP/1.1¶Host: app¶¶"),
    no("lin-38", 400, "GET http://app:81/x HTTP/1.1¶Host: app¶¶"),
    no("lin-39", 400, "GET http://user@app/x HTTP/1.1¶Host: app¶¶"),
    no("lin-40", 400, "GET ftp://app/x HTTP/1.1¶Host: app¶¶"),
    no("lin-41", 400, "GET app:80 HTTP/1.1¶Host: app¶¶"),
    no("lin-42", 400, "GET * HTTP/1.1¶Host: app¶¶"),
    no("lin-43", 400, "GET r HTTP/1.1¶Host: app¶¶"),
    no("lin-44", 400, "GET @other/r HTTP/1.1¶Host: app¶¶"),
    no("lin-45", 405, "CONNECT app:80 HTTP/1.1¶Host: app:80¶¶"),
    no("lin-46", 405, "TRACE /r HTTP/1.1¶Host: app¶¶"),
    no("lin-47", 400, "PRI * HTTP/2.0¶Host: app¶¶"),
    no("lin-48", 400, "G(E)T /r HTTP/1.1¶Host: app¶¶"),
    no("lin-49", 501, "«M*3000» /r HTTP/1.1¶Host: app¶¶"),
    no("lin-50", 414, "GET /«a*60000» HTTP/1.1¶Host: app¶¶"),
    yes("lin-51", "GET /?q=«a*30000» HTTP/1.1¶Host: app¶¶", &["aaaa HTTP/1.1\r\n"]),
    no("lin-52", 414, "GET /?q=«<*30000» HTTP/1.1¶Host: app¶¶"),
    yes("lin-53", "GET /?q=«<*20000» HTTP/1.1¶Host: app¶¶", &["%3C%3C%3C HTTP/1.1\r\n"]),
];

/// Fields and `Host`.
const FIELDS: [Vector; 51] = [
    yes("fld-01", "GET /h HTTP/1.1¶Host: app¶X-Text: «e4ff»¶¶", &[]),
    yes("fld-02", "GET /h HTTP/1.1¶Host: app¶X-MiXeD:  a b «09»¶Empty:¶¶", &["X-MiXeD: a b\r\n", "Empty:"]),
    yes("fld-03", "GET /h HTTP/1.1¶Host: app¶user_id: 7¶X_Trace: 1¶¶", &["user_id: 7\r\n", "X_Trace: 1\r\n"]),
    yes("fld-04", "GET /h HTTP/1.1¶Host: app¶Cookie: a=1¶Cookie: b=2¶¶", &["a=1", "b=2"]),
    yes("fld-05", "GET /h HTTP/1.1¶Host: app¶«X: y¶*99»¶", &[]),
    yes("fld-06", "GET /h HTTP/1.1¶Host: app¶X: «v*16000»¶¶", &[]),
    yes("fld-07", "GET /h HTTP/1.1¶Host: [::1]:8080¶¶", &["Host: [::1]:8080\r\n"]),
    yes("fld-08", "GET /h HTTP/1.1¶host:APP:80¶¶", &["APP:80"]),
    yes("fld-09", "GET /h HTTP/1.1¶Host: app¶X: a:b: c¶!#$%&'*+-.^_`|~: x¶¶", &["!#$%&'*+-.^_`|~: x\r\n"]),
    no("fld-10", 400, "GET /h HTTP/1.1¶Host : app¶¶"),
    no("fld-11", 400, "GET /h HTTP/1.1¶Host: app¶: x¶¶"),
    no("fld-12", 400, "GET /h HTTP/1.1¶Host: app¶NoColon¶¶"),
    no("fld-13", 400, "GET /h HTTP/1.1¶Host: app¶X: a«00»b¶¶"),
    no("fld-14", 400, "GET /h HTTP/1.1¶Host: app¶X: a«0d»b¶¶"),
    no("fld-15", 400, "GET /h HTTP/1.1¶Host: app¶X: a«0a»b: c¶¶"),
    no("fld-16", 400, "GET /h HTTP/1.1¶Host: app¶X: a«1b»b¶¶"),
    no("fld-17", 400, "GET /h HTTP/1.1¶Host: app¶X: a«7f»b¶¶"),
    no("fld-18", 400, "GET /h HTTP/1.1¶Host: app¶X«e4»: a¶¶"),
    no("fld-19", 400, "GET /h HTTP/1.1¶Host: app¶X Y: a¶¶"),
    no("fld-20", 400, "GET /h HTTP/1.1¶Host: app¶X«00»: a¶¶"),
    no("fld-21", 400, "GET /h HTTP/1.1¶Host: app¶X: a¶ b¶¶"),
    no("fld-22", 400, "GET /h HTTP/1.1¶Host: app¶X: a¶«09»b¶¶"),
    no("fld-23", 400, "GET /h HTTP/1.1¶ X: a¶Host: app¶¶"),
    no("fld-24", 400, "GET /h HTTP/1.1¶«efbbbf»Host: app¶¶"),
    no("fld-25", 400, "GET /h HTTP/1.1¶Host: app¶«0d»X: a¶¶"),
    no("fld-26", 400, "GET /h HTTP/1.1¶Host: app¶(X): a¶¶"),
    no("fld-27", 400, "GET /h HTTP/1.1¶Host: app¶Split-¶Name: a¶¶"),
    no("fld-28", 400, "GET /h HTTP/1.1¶Host: app¶X_Forwarded_For: 192.0.2.1¶¶"),
    no("fld-29", 400, "GET /h HTTP/1.1¶Host: app¶X-Forwarded_Proto: https¶¶"),
    no("fld-30", 400, "GET /h HTTP/1.1¶Host: app¶Content_Type: text/plain¶¶"),
    no("fld-31", 431, "GET /h HTTP/1.1¶Host: app¶«X: y¶*100»¶"),
    no("fld-32", 431, "GET /h HTTP/1.1¶Host: app¶X: «v*16385»¶¶"),
    no("fld-33", 431, "GET /h HTTP/1.1¶Host: app¶«n*129»: v¶¶"),
    no("fld-34", 431, "GET /h HTTP/1.1¶Host: app¶X: «v*200000»¶¶"),
    no("fld-35", 400, "GET /h HTTP/1.1¶X: y¶¶"),
    no("fld-36", 400, "GET /h HTTP/1.1¶Host: app¶Host: other¶¶"),
    no("fld-37", 400, "GET /h HTTP/1.1¶Host: app¶HOST: app¶¶"),
    no("fld-38", 400, "GET /h HTTP/1.1¶Host: app other¶¶"),
    no("fld-39", 400, "GET /h HTTP/1.1¶Host: app/../x¶¶"),
    no("fld-40", 400, "GET /h HTTP/1.1¶Host: user@app¶¶"),
    no("fld-41", 400, "GET /h HTTP/1.1¶Host: app, other¶¶"),
    no("fld-42", 400, "GET /h HTTP/1.1¶Host: app:70000¶¶"),
    no("fld-43", 400, "GET /h HTTP/1.1¶Host:¶¶"),
    no("fld-44", 400, "GET /h HTTP/1.1¶Host: app«00».other¶¶"),
    no("fld-45", 400, "GET /h HTTP/1.1¶Host: app#x¶¶"),
    no("fld-46", 400, "GET /h HTTP/1.1¶Host: app:80:80¶¶"),
    no("fld-47", 400, "«¶*4000»GET /h HTTP/1.1¶Host: app¶¶"),
    no("fld-48", 400, "GET /h HTTP/1.1¶Host: app¶X.Forwarded.For: 192.0.2.1¶¶"),
    no("fld-49", 400, "POST /h HTTP/1.1¶Host: app¶Content.Length: 5¶¶"),
    no("fld-50", 400, "GET /h HTTP/1.1¶Host: app¶X~Rasp~Verdict: allow¶¶"),
    yes("fld-51", "GET /h HTTP/1.1¶Host: app¶X.Request.Id: 1¶¶", &["X.Request.Id: 1\r\n"]),
];

/// Fields of one hop, and what may be there once.
const HOPS: [Vector; 25] = [
    lacks(
        "hop-01",
        "GET /o HTTP/1.1¶Host: app¶Connection: close, X-Mine¶X-Mine: 1¶X-Stays: 1¶¶",
        &["X-Stays: 1\r\n"],
        &["X-Mine"],
    ),
    lacks(
        "hop-02",
        "GET /o HTTP/1.1¶Host: app¶Keep-Alive: 5¶Proxy-Connection: x¶TE: gzip¶¶",
        &[],
        &["Keep-Alive:", "Proxy-Connection:", "gzip"],
    ),
    lacks(
        "hop-03",
        "GET /o HTTP/1.1¶Host: app¶X-Rasp-Verdict: allow¶x-rasp-a: 1¶X-Raspberry: 1¶¶",
        &["X-Raspberry: 1\r\n"],
        &["X-Rasp-", "x-rasp-"],
    ),
    lacks(
        "hop-04",
        "GET /o HTTP/1.1¶Host: app¶Proxy: http://other¶Proxy-Id: 1¶¶",
        &["Proxy-Id: 1\r\n"],
        &["Proxy: "],
    ),
    lacks(
        "hop-05",
        "GET /o HTTP/1.1¶Host: app¶Upgrade: h2c¶HTTP2-Settings: AAA¶Connection: Upgrade, HTTP2-Settings¶¶",
        &[],
        &["h2c", "HTTP2-Settings:"],
    ),
    yes(
        "hop-06",
        "GET /o HTTP/1.1¶Host: app¶X-Forwarded-For: 192.0.2.1¶X-Forwarded-For: 192.0.2.2¶¶",
        &["192.0.2.1, 192.0.2.2, 127.0.0.1"],
    ),
    yes("hop-07", "GET /o HTTP/1.1¶Host: app¶Connection: close¶Connection: keep-alive¶¶", &[]),
    yes("hop-08", "POST /o HTTP/1.1¶Host: app¶Content-Length: 4¶Expect: 100-continue¶¶abcd", &["abcd"]),
    yes("hop-09", "GET /o HTTP/1.1¶Host: app¶Upgrade: websocket¶Connection: Upgrade¶¶", &[]),
    yes(
        "hop-10",
        "POST /o HTTP/1.1¶Host: app¶Upgrade: h2c¶Connection: Upgrade¶Content-Length: 4¶¶abcd",
        &["abcd"],
    ),
    no("hop-11", 400, "GET /o HTTP/1.1¶Host: app¶Connection: Host¶¶"),
    no("hop-12", 400, "GET /o HTTP/1.1¶Host: app¶Connection: close, authorization¶Authorization: x¶¶"),
    no("hop-13", 400, "GET /o HTTP/1.1¶Host: app¶Connection: Content-Length¶¶"),
    no("hop-14", 400, "GET /o HTTP/1.1¶Host: app¶Connection: X-Forwarded-For¶¶"),
    no("hop-15", 400, "GET /o HTTP/1.1¶Host: app¶Connection: close¶Connection: ,cookie¶Cookie: a=b¶¶"),
    no(
        "hop-16",
        400,
        "POST /o HTTP/1.1¶Host: app¶Upgrade: websocket¶Connection: Upgrade¶Content-Length: 4¶¶abcd",
    ),
    no(
        "hop-17",
        400,
        "GET /o HTTP/1.1¶Host: app¶Upgrade: websocket¶Connection: Upgrade¶Transfer-Encoding: chunked¶¶0¶¶",
    ),
    no("hop-18", 400, "GET /o HTTP/1.1¶Host: app¶Content-Type: text/plain¶Content-Type: application/json¶¶"),
    no("hop-19", 417, "POST /o HTTP/1.1¶Host: app¶Content-Length: 4¶Expect: x 100-continue¶¶abcd"),
    no("hop-20", 417, "POST /o HTTP/1.1¶Host: app¶Content-Length: 4¶Expect: 100-continue, y¶¶abcd"),
    no("hop-21", 417, "POST /o HTTP/1.1¶Host: app¶Content-Length: 4¶Expect:¶¶abcd"),
    no("hop-22", 400, "GET /o HTTP/1.1¶Host: app¶Connection: x-forwarded-proto¶X-Forwarded-Proto: https¶¶"),
    no("hop-23", 400, "GET /o HTTP/1.1¶Host: app¶Connection: «ff», Cookie¶Cookie: a=b¶¶"),
    lacks(
        "hop-24",
        "GET /o HTTP/1.1¶Host: app¶Connection: Upgrade¶Connection: HTTP2-Settings¶Upgrade: h2c¶HTTP2-Settings: A¶¶",
        &[],
        &["h2c", "HTTP2-Settings"],
    ),
    yes("hop-25", "GET /o HTTP/1.1¶Host: app¶Connection: \"cookie\"¶Cookie: a=b¶¶", &["Cookie: a=b\r\n"]),
];

/// Every family with its vectors.
pub const FAMILIES: [(&str, &[Vector]); 6] = [
    ("length", &LENGTH),
    ("coding", &CODING),
    ("chunks", &CHUNKS),
    ("lines", &LINES),
    ("fields", &FIELDS),
    ("hops", &HOPS),
];

/// The bytes that a vector stands for.
pub fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        match character {
            '¶' => out.extend_from_slice(b"\r\n"),
            '«' => {
                let (inner, after) = rest.split_once('»').unwrap();
                rest = after;
                match inner.rsplit_once('*') {
                    Some((what, count)) => out.extend(bytes(what).repeat(count.parse().unwrap())),
                    None => out.extend(
                        (0..inner.len() / 2)
                            .map(|at| u8::from_str_radix(&inner[at * 2..at * 2 + 2], 16).unwrap()),
                    ),
                }
            }
            plain => out.extend_from_slice(plain.to_string().as_bytes()),
        }
    }
    out
}
