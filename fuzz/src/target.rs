//! The target of a request: what is taken is taken by the HTTP library as well, and writing it changes nothing but
//! what had to be encoded.

use rasp_proxy::guard::target::{Form, look, write};

pub fn run(target: &[u8]) {
    let Ok(looked) = look(target, true) else { return };
    let mut written = Vec::new();
    write(target, looked.form, &mut written);
    let text = std::str::from_utf8(&written).expect("ASCII");
    let uri: http::Uri = text.parse().unwrap_or_else(|error| panic!("{error}: {text:?}"));
    if looked.form != Form::Asterisk {
        let path_and_query = uri.path_and_query().expect("a path");
        assert_eq!(path_and_query.as_str(), text, "the library reads another target");
    }
    assert_eq!(decoded(&written), decoded(origin(target, looked.form)), "it means something else");
    let again = look(&written, true).expect("what was written is a target");
    assert!(!again.oddities.encoded, "encoded twice");
    let mut twice = Vec::new();
    write(&written, again.form, &mut twice);
    assert_eq!(twice, written);
}

fn origin(target: &[u8], form: Form) -> &[u8] {
    match form {
        Form::Absolute { path, .. } => &target[path..],
        _ => target,
    }
}

fn decoded(mut target: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    if !matches!(target, [b'/' | b'*', ..]) {
        bytes.push(b'/');
    }
    loop {
        target = match target {
            [] => return bytes,
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).expect("ASCII");
                bytes.push(u8::from_str_radix(digits, 16).expect("two digits"));
                rest
            }
            [byte, rest @ ..] => {
                bytes.push(*byte);
                rest
            }
        };
    }
}
