//! A session that the link of another site sets: whoever follows it has the session of who wrote it.
//!
//! Called for every request by [`super`] and `request::may_match`; nearly every name of a parameter is told by its first byte
//! and its length. Sources: CWE-384, OWASP "Session fixation".

use super::SESSION;
use crate::detector::Rule;
use crate::finding::Confidence::{self, High};
use crate::lookup::Lookup;
use crate::message::Head;

/// Parameters that frameworks keep a session in, and that nothing but an old habit or an attack puts into a link. Names
/// that other services use for sessions of their own (`session_id` of payments, `sessionId`) are not among them.
const SESSIONS: &[&str] = &[
    "__host-next-auth.session-token",
    "__secure-next-auth.session-token",
    "_flask_session",
    "_rails_session",
    "_session_id",
    "asp.net_sessionid",
    "aspsession",
    "aspsessionid",
    "cakephp",
    "cfid",
    "cfsid",
    "cftoken",
    "ci_session",
    "connect.sid",
    "jservsession",
    "jsessionid",
    "jsessionidsso",
    "jwsession",
    "koa.sess",
    "koa:sess",
    "laravel_session",
    "meteor_login_token",
    "next-auth.session-token",
    "phpsessid",
    "phpsession",
    "play_session",
    "rack.session",
    "sails.sid",
    "shiny-token",
    "symfony",
    "weblogicsession",
    "zend_session_id",
    "zenid",
];

/// Bit n for each name of n bytes, by what they begin with: nearly every name of a parameter is told by that.
static LENGTHS: Lookup<u64> = Lookup({
    let mut table = [0; 256];
    let mut at = 0;
    while at < SESSIONS.len() {
        #[expect(clippy::indexing_slicing, reason = "the compiler runs it")]
        let name = SESSIONS[at].as_bytes();
        #[expect(clippy::indexing_slicing, reason = "the compiler runs it")]
        let first = name[0];
        let bit = 1 << name.len();
        #[expect(clippy::indexing_slicing, reason = "a byte is less than 256")]
        {
            table[first as usize] |= bit;
            table[first.to_ascii_uppercase() as usize] |= bit;
        }
        at += 1;
    }
    table
});

fn may_be_session(name: &[u8]) -> bool {
    name.len() < 64 && name.first().is_some_and(|first| LENGTHS.one(*first) & 1 << name.len() != 0)
}

/// A link of another site that sets the session: whoever follows it has the session of who wrote it.
pub(super) fn fixed<'a>(head: &Head<'a>) -> Option<(Rule, Confidence, &'a [u8])> {
    let name = name(head.target)?;
    let mut hosts = Hosts::default();
    // Nothing is refused here.
    let _ = head.fields.each(&mut |name, value| {
        hosts.see(name, value);
        Ok(())
    });
    hosts.are_foreign().then_some((SESSION, High, name))
}

/// The parameter of a query that sets a session.
pub(super) fn name(target: &[u8]) -> Option<&[u8]> {
    let query = memchr::memchr(b'?', target).and_then(|at| target.get(at + 1..))?;
    query.split(|byte| matches!(byte, b'&' | b';')).find_map(|pair| {
        let (name, value) = pair.split_at_checked(memchr::memchr(b'=', pair)?)?;
        let is_session = may_be_session(name)
            && value.len() > 4
            && SESSIONS.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
        is_session.then_some(name)
    })
}

/// Copied, because fields are shown one at a time. Only for requests with such a parameter.
#[derive(Debug, Default)]
struct Hosts {
    referer: Vec<u8>,
    own: Vec<Vec<u8>>,
}

impl Hosts {
    fn see(&mut self, name: &[u8], value: &[u8]) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("referer") {
            self.referer = authority(value).to_ascii_lowercase();
        } else if (is("host") || is("x-forwarded-host") || is(":authority")) && self.own.len() < 4 {
            self.own.push(bare_host(value.trim_ascii()).to_ascii_lowercase());
        }
    }

    /// A name with a dot, of a site of which none of the hosts of the request is.
    fn are_foreign(&self) -> bool {
        let site = site(&self.referer);
        self.referer.contains(&b'.')
            && self.referer.iter().any(u8::is_ascii_alphabetic)
            && !self.own.is_empty()
            && self.own.iter().all(|own| self::site(own) != site)
    }
}

/// Host of an address; empty where it has none.
fn authority(address: &[u8]) -> &[u8] {
    let Some(start) = memchr::memmem::find(address, b"://") else { return b"" };
    let rest = address.get(start + 3..).unwrap_or_default();
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let host = rest.get(..end).unwrap_or_default();
    bare_host(host.rsplit(|byte| *byte == b'@').next().unwrap_or_default())
}

fn bare_host(host: &[u8]) -> &[u8] {
    if host.starts_with(b"[") {
        return host;
    }
    host.split(|byte| *byte == b':').next().unwrap_or_default()
}

/// The last two labels: close enough to what one owner has, and never less than that.
fn site(host: &[u8]) -> &[u8] {
    let mut dots = memchr::memrchr_iter(b'.', host).skip(1);
    dots.next().and_then(|dot| host.get(dot + 1..)).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_fixed(target: &str, fields: &[(&str, &str)]) -> bool {
        let head = Head {
            method: "GET",
            target: target.as_bytes(),
            content_type: None,
            content_encoding: None,
            fields: &fields,
        };
        fixed(&head).is_some()
    }

    #[test]
    fn a_session_is_set_by_a_link_of_another_site_alone() {
        let from = |referer| [("Host", "shop.example.org:8443"), ("Referer", referer)];
        for target in [
            "/login?PHPSESSID=abc123",
            "/a?b=c&jsessionid=1F2E3D",
            "/?x=1;CFTOKEN=6789",
            "/?koa:sess=eyJ1c2Vy",
        ] {
            assert!(is_fixed(target, &from("https://evil.example.com/a")), "{target}");
            assert!(!is_fixed(target, &from("https://shop.example.org/a")), "{target}");
            assert!(
                !is_fixed(target, &from("https://www.example.org/a?b=https://c.example.com/")),
                "{target}"
            );
            assert!(!is_fixed(target, &from("http://localhost/")), "{target}");
            assert!(!is_fixed(target, &from("http://10.0.0.1/")), "{target}");
            assert!(!is_fixed(target, &from("about:blank")), "{target}");
            assert!(!is_fixed(target, &[("Referer", "https://evil.example.com/")]), "{target}: no host");
            assert!(!is_fixed(target, &[("Host", "shop.example.org")]), "{target}: no referrer");
            let forwarded = [
                ("Host", "web.shop.svc"),
                ("X-Forwarded-Host", "shop.example.org"),
                ("Referer", "https://shop.example.org/"),
            ];
            assert!(!is_fixed(target, &forwarded), "{target}: forwarded");
        }
        for target in [
            "/return?session_id=cs_test_a1",
            "/return?sessionId=CS123&redirectResult=x",
            "/a;jsessionid=1F2E3D",
            "/?phpsessid=",
            "/?q=phpsessid=abcdef",
            "/?sid=abcdef",
            "/",
            "/?",
        ] {
            assert!(!is_fixed(target, &from("https://evil.example.com/a")), "{target}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(value in "(/\\?phpsessid=)?[-0-9,;=&?\" a-z/:.]{0,60}", name in "Referer|Host|a") {
            let _ = is_fixed(&value, &[(&name, &value)]);
        }
    }
}
