use super::*;
use crate::finding::{Confidence, Part};
use crate::marks::{confidence_in, units};

#[test]
fn objects_that_run_code_when_they_are_read_are_refused() {
    let rows: &[(&str, &[&[u8]])] = &[
        (
            "deserialization-java",
            &[
                b"\xAC\xED\x00\x05sr\x00\x11java.util.HashMap",
                b"rO0ABXNyABFqYXZhLnV0aWwuSGFzaE1hcA==",
                b"aced00057372",
                b"<x>rO0ABXNyABFqYXZh</x>",
            ],
        ),
        ("deserialization-dotnet", &[b"AAEAAAD/////AQAAAAAAAAAMAgAAAElT"]),
        (
            "deserialization-php",
            &[
                b"O:3:\"Foo\":1:{s:1:\"a\";i:1;}",
                b"O:+3:\"Foo\":0:{}",
                b"a:1:{i:0;O:8:\"A\\Bb\\Ccc\":1:{s:1:\"x\";N;}}",
                b"Tzo4OiJzdGRDbGFzcyI6MTp7czoxOiJhIjtOO30=",
                b"C:3:\"Foo\":2:{ab}",
                b"x|O:3:\"Foo\":1:{N;}",
            ],
        ),
        (
            "deserialization-python",
            &[
                b"cos\nsystem\n(S'id'\ntR.",
                b"gASVIQAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOU",
                b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix",
                b"c__builtin__\neval\n(S'1'\ntR.",
            ],
        ),
        ("deserialization-ruby", &[b"\x04\x08o:\x0BGem::X", b"\x04\x08[\x08c\x15Gem::A"]),
        (
            "deserialization-yaml",
            &[
                b"!!python/object/apply:os.system ['id']",
                b"a: !!javax.script.ScriptEngineManager [x]",
                b"--- !ruby/object:Gem::Installer",
                b"!!python/object/new:exec [x]",
            ],
        ),
        ("deserialization-node", &[b"_$$ND_FUNC$$_function (){ return 1 }()"]),
        (
            "deserialization-gadget",
            &[
                b"<a><java.util.PriorityQueue serialization='custom'>",
                b"com.sun.rowset.JdbcRowSetImpl",
                b"x.invokertransformer",
                b"<object class=\"java.lang.ProcessBuilder\">",
                b"System.Windows.Data.ObjectDataProvider, PresentationFramework",
            ],
        ),
    ];
    for (rule, values) in rows {
        for value in *values {
            let judged = confidence_in(&DETECTOR, Part::Form, value);
            assert!(
                judged.is_some_and(|(id, sure)| sure >= Confidence::High && id == *rule),
                "{}: {judged:?}, not {rule}",
                String::from_utf8_lossy(value)
            );
        }
    }
}

#[test]
fn text_tokens_and_plain_data_pass() {
    let values: &[&[u8]] = &[
        b"a:1:{s:3:\"foo\";s:3:\"bar\";}", b"s:5:\"hello\";", b"O:3:foo", b"eyJhbGciOiJIUzI1NiJ9.e30.abc", b"xrO0ABXNy", b"rO0ABB", b"Tzo", b"gAJ", b"AAEAAAD",
        b"wow!!python is great", b"I love !!java", b"cos\nis a Greek island", b"the class InvokerTransformer of commons-collections runs methods",
        b"at com.sun.org.apache.xalan.internal.xsltc.trax.TemplatesImpl.newTransformer(TemplatesImpl.java:486)", b"MyApp.Models.Order, MyApp", b"a: !!str 5", b"\x04", b"\x80",
        b"Too: \"a\":1:{", b"/wEPDwUKLTM0", b"H4sIAAAAAAAA", b"BAhvbwo=", b"name:12:\"x\":3:{",
    ];
    for value in values {
        let judged = confidence_in(&DETECTOR, Part::Form, value);
        assert!(
            judged.is_none_or(|(_, sure)| sure < Confidence::High),
            "{}: {judged:?}",
            String::from_utf8_lossy(value)
        );
    }
}

#[test]
fn the_prefilter_knows_every_mark() {
    KNOWN.check(&NEEDS);
}

#[test]
fn work_is_linear() {
    for piece in ["rO0AB", " Tzo", "O:1:\"", "!!python/", "cos\nsystem", "templatesimpl ", ":\""] {
        assert!(units(&DETECTOR, piece) <= 8, "{piece:?}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_bytes_make_it_panic(pieces in proptest::collection::vec(proptest::sample::select(vec![&b"O:"[..], b"3", b":\"", b"a", b"\":", b":{", b"rO0ABX", b" ", b"Tzo0OiJ", b"gASV", b"\x80\x04", b"\xAC\xED\x00\x05", b"\x04\x08o:", b"+", b"cos\n"]), 0..24)) {
        let _ = confidence_in(&DETECTOR, Part::Query, &pieces.concat());
    }
}
