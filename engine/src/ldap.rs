//! LDAP injection (CWE-90, CAPEC-136): would this value change the filter that an application puts it into?
//!
//! A filter is `(attribute=value)`, and filters are joined as `(&(..)(..))` (RFC 4515). A value that is put into one
//! closes the parenthesis that it does not open, and goes on with another filter; or it is a filter whose condition is
//! always true or false. Parentheses of text are even, or nothing like a filter follows. Sources: RFC 4515; OWASP
//! WSTG-INPV-06.
//!
//! Called through [`DETECTOR`].

use rasp_policy::class::Class;

use crate::decode::Field;
use crate::detector::{Detector, Needs, Report, Rule};
use crate::finding::Confidence::{self, Certain, High, Low, Medium};
use crate::marks::{Found, Place, lines, rule};
use crate::reason::Reason;
use crate::surroundings::Before;

pub(crate) static DETECTOR: Detector = Detector { class: Class::LdapInjection, needs: NEEDS, inspect, rules };

const NEEDS: Needs = Needs {
    alone: b"",
    bytes: b"()=",
    needles: &[
        ")(", ") (", "*(", "*)", ":=", "(|", "(&", "(!", ")&(", ")|(", ")!(", ")\t(", ")\n(", "))\0", "))%00",
    ],
};

static FILTER: Rule = rule("ldap-filter", "the value closes a filter of LDAP and begins another one");
static WILDCARD: Rule =
    rule("ldap-wildcard", "the value fits anything in a filter of LDAP and goes on with another filter");
static CUT: Rule = rule("ldap-cut", "the value closes a filter of LDAP and cuts the rest off");
static CONSTANT: Rule =
    rule("ldap-constant", "the value is a filter of LDAP that is true or false whatever the entry");
static MATCHING: Rule =
    rule("ldap-matching-rule", "the value compares an attribute of LDAP by a matching rule");

static RULES: [&Rule; 5] = [&FILTER, &WILDCARD, &CUT, &CONSTANT, &MATCHING];

fn rules() -> Vec<Rule> {
    RULES.iter().map(|rule| **rule).collect()
}

fn inspect(field: &Field<'_>, report: &mut Report<'_>) -> Result<(), Reason> {
    report.budget().work(2 * field.value.len())?;
    if let Some(found) = detect(field.value) {
        found.report(field, report, is_attribute);
    }
    Ok(())
}

fn detect(value: &[u8]) -> Option<Found> {
    let place = |at: usize| Place { before: Before::new(value).upto(at), lines: lines(value) };
    let found = |rule: &'static Rule, confidence: Confidence, start: usize| {
        Some(Found { rule, confidence, start, end: value.len() })
    };
    if let Some(at) = closing(value) {
        let behind = value.get(at + 1..).unwrap_or_default();
        let wild = value.get(..at).is_some_and(|before| before.ends_with(b"*"));
        let place = place(at);
        match follows(behind) {
            Follows::Operator if wild || has_attribute(behind) => {
                return found(&FILTER, if place.is_line() { Certain } else { Medium }, at);
            }
            Follows::Operator => return found(&FILTER, place.lower_unless_word(High), at),
            Follows::Known => return found(&FILTER, place.lower(High), at),
            Follows::Attribute if wild => return found(&FILTER, place.lower(High), at),
            Follows::Attribute => return found(&FILTER, Low, at),
            Follows::End if wild => return found(&CUT, place.lower_unless_word(High), at),
            Follows::End | Follows::Other => {}
        }
    }
    // `*(|(mail=*))`, `*()|&'`
    if let Some(rest) = value.strip_prefix(b"*(") {
        let opens = matches!(rest.first(), Some(b'|' | b'&' | b'!')) && rest.get(1) == Some(&b'(');
        if opens || rest.starts_with(b")|") || rest.starts_with(b")&") {
            return found(&WILDCARD, High, 0);
        }
    }
    if value.trim_ascii_start().starts_with(b"(") && is_filter(value) {
        let constant = [&b"(1=0)"[..], b"(1=1)", b"(0=1)"]
            .iter()
            .any(|part| memchr::memmem::find(value, part).is_some());
        // Administrators configure filters.
        return found(&CONSTANT, if constant { place(0).lower(High) } else { Low }, 0);
    }
    let start = matching_rule(value)?;
    // Filters that administrators configure have it between parentheses.
    found(&MATCHING, if start == 0 && lines(value) < 2 { High } else { Low }, start)
}

/// The first parenthesis that closes what the value did not open.
fn closing(value: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    for at in memchr::memchr2_iter(b'(', b')', value) {
        if value.get(at) == Some(&b'(') {
            depth += 1;
        } else if depth == 0 {
            return Some(at);
        } else {
            depth -= 1;
        }
    }
    None
}

enum Follows {
    /// `(&(`, `(|(`, `(!(`, `(&)`
    Operator,
    /// `(uid=`
    Known,
    /// `(anything=`
    Attribute,
    /// Nothing, a NUL, or more parentheses.
    End,
    Other,
}

fn follows(behind: &[u8]) -> Follows {
    let near = behind.get(..64).unwrap_or(behind);
    let more = near.iter().take_while(|byte| matches!(byte, b')' | b' ' | b'\t' | b'\n' | b'\r')).count();
    let rest = near.get(more..).unwrap_or_default();
    if rest.is_empty() {
        return if near.contains(&b')') { Follows::End } else { Follows::Other };
    }
    if rest.starts_with(b"\0") || rest.starts_with(b"%00") || rest.starts_with(b"\\00") {
        return Follows::End;
    }
    // `)&(cn=a`, `)!(sn=*`: the operator where it does not belong, which lenient servers take.
    if let [b'&' | b'|' | b'!', b'(', inner @ ..] = rest
        && attribute(inner).is_some_and(is_attribute)
    {
        return Follows::Known;
    }
    let opens = rest.iter().take_while(|byte| matches!(byte, b'(' | b' ' | b'\t' | b'\n' | b'\r')).count();
    let Some(inner) = rest.get(opens..).filter(|_| opens > 0) else { return Follows::Other };
    if let [b'&' | b'|' | b'!', after @ ..] = inner {
        let after = after.trim_ascii_start();
        return match after.first() {
            None | Some(b'(' | b')' | b'&' | b'|') => Follows::Operator,
            _ if attribute(after).is_some_and(is_attribute) => Follows::Operator,
            _ => Follows::Other,
        };
    }
    match attribute(inner) {
        Some(name) if is_attribute(name) => Follows::Known,
        Some(_) => Follows::Attribute,
        None => Follows::Other,
    }
}

/// The attribute that is compared: `uid=`, `age>=`, `cn~=`, `cn:dn:=`
fn attribute(bytes: &[u8]) -> Option<&[u8]> {
    let length = bytes
        .iter()
        .take(48)
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b';'))
        .count();
    let (name, rest) = bytes.split_at_checked(length)?;
    let sign = rest.trim_ascii_start();
    let compares = sign.starts_with(b"=") && !sign.starts_with(b"==")
        || sign.starts_with(b"~=")
        || sign.starts_with(b">=")
        || sign.starts_with(b"<=")
        || sign.starts_with(b":");
    (length > 0 && compares).then_some(name)
}

fn is_attribute(name: &[u8]) -> bool {
    const NAMES: &[&str] = &[
        "uid",
        "cn",
        "sn",
        "ou",
        "dc",
        "mail",
        "objectclass",
        "objectcategory",
        "userpassword",
        "samaccountname",
        "givenname",
        "displayname",
        "memberof",
        "member",
        "userprincipalname",
        "uidnumber",
        "gidnumber",
        "password",
        "username",
        "user",
        "telephonenumber",
        "description",
        "homedirectory",
        "title",
        "department",
        "admincount",
        "useraccountcontrol",
        "name",
    ];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

fn has_attribute(bytes: &[u8]) -> bool {
    let near = bytes.get(..256).unwrap_or(bytes);
    near.split(|byte| *byte == b'(').any(|piece| attribute(piece).is_some_and(is_attribute))
}

/// A filter as a whole: an operator, and attributes.
fn is_filter(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    matches!(value, [b'(', b'&' | b'|' | b'!', b'(', .., b')']) && has_attribute(value)
}

/// `userPassword:2.5.13.18:=1`
fn matching_rule(value: &[u8]) -> Option<usize> {
    let at = memchr::memmem::find(value, b":=")?;
    let before = value.get(..at)?;
    let number =
        before.iter().rev().take(32).take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let identifier = before.get(before.len() - number..)?;
    let rest = before.get(..before.len() - number)?.strip_suffix(b":")?;
    let name = rest.iter().rev().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').count();
    let dots = memchr::memchr_iter(b'.', identifier).count();
    (name > 1 && dots > 2 && identifier.first().is_some_and(u8::is_ascii_digit)).then_some(rest.len() - name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Part;
    use crate::marks::{confidence_in, units};

    #[test]
    fn values_that_change_a_filter_are_refused() {
        let rows: &[(&str, &[&str])] = &[
            (
                "ldap-filter",
                &[
                    "*)(uid=*))(|(uid=*",
                    "bob)(!(&(2=0",
                    "bob)(&)",
                    "*)(&",
                    "bob)(|(cn=a*",
                    "*))(|(mail=*",
                    "x)(cn=))\0",
                    "bob*)((|userPassword=*)",
                    "a) (uid=*",
                    "x)&(cn=admin",
                    "x)|(uid=*",
                    "b)!(sn=*",
                    "a)\t(\t|",
                ],
            ),
            ("ldap-wildcard", &["*(|(mail=*))", "*()|&'", "*(&(cn=*))"]),
            ("ldap-cut", &["*))\0", "*))%00", "bob*))"]),
            ("ldap-constant", &["(&(uid=bob)(!(&(1=0)(userPassword=q))))"]),
            ("ldap-matching-rule", &["userPassword:2.5.13.18:=99"]),
        ];
        for (rule, values) in rows {
            for value in *values {
                let judged = confidence_in(&DETECTOR, Part::Query, value.as_bytes());
                assert!(
                    judged.is_some_and(|(id, sure)| sure >= High && id == *rule),
                    "{value}: {judged:?}, not {rule}"
                );
            }
        }
    }

    #[test]
    fn text_with_parentheses_passes() {
        let values = [
            "a (b) (c)",
            "f(x)(y)",
            ":) (see below)",
            ":-) (b=c)",
            "1) (first) 2) (second)",
            "(&(objectClass=user)(sAMAccountName={0}))",
            "*(see note)",
            "a*)",
            "x := 2",
            "pow(2)(3)",
            "(*^_^*)",
            "(&)",
            "if (a) (b = 1)",
            "5) (n=10) of patients",
            "admin*",
            "*",
            "|",
            "version:1.2.3:=4",
            "((a)(b))",
            "(userAccountControl:1.2.840.113556.1.4.803:=2)",
            "let f = (x) => (y) => (x = y);",
            "Smith, J.) (name changed)",
        ];
        for value in values {
            let judged = confidence_in(&DETECTOR, Part::Query, value.as_bytes());
            assert!(judged.is_none_or(|(_, sure)| sure < High), "{value}: {judged:?}");
        }
    }

    #[test]
    fn work_is_linear() {
        for piece in [")(", "*(", "(&(", ":="] {
            assert!(units(&DETECTOR, piece) <= 8, "{piece:?}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

        #[test]
        fn no_bytes_make_it_panic(value in proptest::collection::vec(proptest::sample::select(b"()&|!*=:.1uid \0%\xC3".to_vec()), 0..64)) {
            let _ = confidence_in(&DETECTOR, Part::Query, &value);
        }
    }
}
