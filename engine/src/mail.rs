//! Mail injection (CWE-93, CAPEC-134 and 183): a line break in what becomes a header of a mail adds recipients or a body,
//! in what becomes a command of SMTP (RFC 5321), IMAP (RFC 9051) or POP3 (RFC 1939) it adds commands.

use rasp_policy::class::Class;

use crate::ascii;
use crate::decode::Field;
use crate::detector::{Detector, Evidence, Needs, Report, Rule};
use crate::finding::Confidence::{self, Certain, High, Low, Medium};
use crate::finding::RuleId;
use crate::mask;
use crate::reason::Reason;

pub(crate) static DETECTOR: Detector = Detector { class: Class::MailInjection, needs: NEEDS, inspect, rules };

const NEEDS: Needs = Needs {
    alone: b"",
    bytes: b"\r\n",
    needles: &[
        "rcpt to",
        "mail from",
        "data",
        "quit",
        "ehlo",
        "helo",
        "rset",
        "vrfy",
        "expn",
        "starttls",
        "capability",
        "fetch",
        "select",
        "login",
        "logout",
        "create",
        "delete",
        "expunge",
        "store",
        "list",
        "noop",
        "retr",
        "dele",
        "stat",
        "append",
        "examine",
        "copy",
        "cc:",
        "to:",
        "subject:",
        "from:",
        "content-type:",
        "mime-version:",
    ],
};

const COMMAND: Rule = Rule {
    id: RuleId("mail-command"),
    reason: "the value ends a line and begins a command of a mail server",
};
const FIELD: Rule =
    Rule { id: RuleId("mail-field"), reason: "the value ends a header of a mail and adds another one" };

fn rules() -> Vec<Rule> {
    vec![COMMAND, FIELD]
}

fn inspect(field: &Field<'_>, report: &mut Report<'_>) -> Result<(), Reason> {
    report.budget().work(field.value.len())?;
    let Some((rule, confidence, start, end)) = judge(field.value) else { return Ok(()) };
    let sample = mask::sample(field.value.get(start..end).unwrap_or_default(), is_known);
    report.find(field, Evidence { rule, confidence, at: start..end, sample });
    Ok(())
}

fn is_known(word: &[u8]) -> bool {
    let is = |name: &&[u8]| word.eq_ignore_ascii_case(name);
    SMTP.iter().chain(IMAP).any(is) || [&b"to"[..], b"cc", b"bcc", b"rcpt", b"mail", b"from"].iter().any(is)
}

/// Commands that stand alone, or with one argument.
const SMTP: &[&[u8]] = &[
    b"data",
    b"dele",
    b"ehlo",
    b"expn",
    b"helo",
    b"noop",
    b"quit",
    b"retr",
    b"rset",
    b"starttls",
    b"stat",
    b"vrfy",
];

/// Commands that follow a tag.
const IMAP: &[&[u8]] = &[
    b"append",
    b"capability",
    b"copy",
    b"create",
    b"delete",
    b"examine",
    b"expunge",
    b"fetch",
    b"list",
    b"login",
    b"logout",
    b"lsub",
    b"noop",
    b"rename",
    b"search",
    b"select",
    b"status",
    b"store",
    b"subscribe",
    b"uid",
];

/// Lines that are looked at.
const LINES: usize = 16;

fn judge(value: &[u8]) -> Option<(Rule, Confidence, usize, usize)> {
    let first = memchr::memchr2(b'\r', b'\n', value)?;
    let prefix = value.get(..first)?;
    // Mails and sessions that people paste begin with a header or a greeting themselves.
    let is_pasted = begins(prefix).is_some();
    let words = prefix.split(|byte| *byte <= b' ').filter(|word| !word.is_empty()).take(7).count();
    let mut best: Option<(Rule, Confidence, usize, usize)> = None;
    let mut lines = 0;
    let mut at = first;
    while let Some(rest) = value.get(at..) {
        let blanks = rest.iter().take_while(|byte| **byte <= b' ').count();
        let line = rest.get(blanks..).unwrap_or_default();
        let length = memchr::memchr2(b'\r', b'\n', line).unwrap_or(line.len());
        let line = line.get(..length).unwrap_or_default();
        if line.is_empty() || lines == LINES {
            break;
        }
        lines += 1;
        if let Some((rule, sure)) = begins(line) {
            let confidence = match sure {
                _ if is_pasted => Low,
                _ if lines > 4 || words > 6 => sure.min(Medium),
                sure => sure,
            };
            if best.is_none_or(|(_, known, ..)| confidence > known) {
                best = Some((rule, confidence, at, at + blanks + length));
            }
        }
        at += blanks + length;
    }
    // A word alone on its line is a command where little else is there.
    best.map(|(rule, confidence, start, end)| {
        let alone = rule == COMMAND && confidence == High && lines > 3;
        (rule, if alone { Medium } else { confidence }, start, end)
    })
}

/// A command or a header at the beginning of a line.
fn begins(line: &[u8]) -> Option<(Rule, Confidence)> {
    let starts = |text: &[u8]| ascii::starts(line, text);
    let has_address = memchr::memchr(b'@', line).is_some();
    if starts(b"rcpt to:") || starts(b"mail from:") {
        return Some((COMMAND, Certain));
    }
    if [&b"to:"[..], b"cc:", b"bcc:", b"reply-to:", b"return-path:"].iter().any(|name| starts(name)) {
        return has_address.then_some((FIELD, High));
    }
    if [&b"subject:"[..], b"from:", b"content-type: multipart", b"mime-version:", b"x-mailer:"]
        .iter()
        .any(|name| starts(name))
    {
        return Some((FIELD, Medium));
    }
    let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let first = words.next()?;
    let second = words.next();
    let is = |list: &[&[u8]], word: &[u8]| list.iter().any(|name| word.eq_ignore_ascii_case(name));
    let loud = |word: &[u8]| word.iter().all(u8::is_ascii_uppercase);
    if is(SMTP, first) && loud(first) && words.next().is_none() {
        return Some((COMMAND, High));
    }
    let tagged = first.len() <= 8
        && first.first().is_some_and(u8::is_ascii_alphabetic)
        && first.last().is_some_and(u8::is_ascii_digit)
        && first.iter().all(u8::is_ascii_alphanumeric);
    let command = second.filter(|word| is(IMAP, word) && loud(word))?;
    (tagged && command.len() > 2).then_some((COMMAND, High))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_and_commands_after_a_line_break_are_attacks() {
        for value in [
            "a@example.org\r\nBcc: b@example.org",
            "a@example.org\ncc: b@example.org, c@example.org",
            "Hello\r\nTo: b@example.org\r\n\r\nBuy now",
            "\r\nRCPT TO:<b@example.org>\r\n",
            "x\r\nMAIL FROM: <a@example.org>\r\nRCPT TO: <b@example.org>\r\nDATA\r\nhello\r\n.\r\n",
            "\r\nQUIT\r\n",
            "INBOX\r\nA001 FETCH 1 BODY[TEXT]",
            "1\r\nV100 CAPABILITY\r\nV101 LOGOUT",
            "user\r\nRETR 1",
        ] {
            let found = judge(value.as_bytes());
            assert!(found.is_some_and(|(_, confidence, ..)| confidence >= High), "{value:?}: {found:?}");
        }
    }

    #[test]
    fn mails_that_are_shown_and_ordinary_lines_are_no_attacks() {
        for value in [
            "From: a@example.org\r\nTo: b@example.org\r\nSubject: hi\r\n\r\nHello",
            "I got this mail yesterday and do not know what to do:\nTo: b@example.org\nSubject: hi",
            "hello\nsubject: to change",
            "Shopping\nTo: buy milk",
            "one\ndata\nthree",
            "Tickets:\nA12 select seats\nA13 list",
            "SELECT 1\nFROM t",
            "first line\nsecond line\nDATA\nfourth\nfifth\nsixth",
        ] {
            let found = judge(value.as_bytes());
            assert!(found.is_none_or(|(_, confidence, ..)| confidence < High), "{value:?}: {found:?}");
        }
    }
}
