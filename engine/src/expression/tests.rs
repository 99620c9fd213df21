use super::*;
use crate::finding::Part;
use crate::marks::{confidence_in, units};

fn judged(value: &str) -> Option<(&'static str, Confidence)> {
    confidence_in(&DETECTOR, Part::Form, value.as_bytes())
}

#[test]
fn expressions_that_attack_are_refused() {
    let rows: &[(&str, &[&str])] = &[
        (
            "expression-jndi",
            &[
                "${jndi:ldap://a.test/x}",
                "${JNDI:rmi://a.test}",
                "x ${jndi:dns://a.test/${env:USER}}",
                "${${lower:j}ndi:ldap://a}",
                "${${::-j}${::-n}${::-d}${::-i}:rmi://a}",
                "${${env:NONE:-j}ndi${env:NONE:-:}ldap://a}",
                "${jndi:ldap://a",
                "${${lower:${upper:${lower:j}}}ndi:ldap://a}",
                "${j${k8s:x:y:-nd}i:ldap:}",
                "${${date:'j'}ndi:ldap://a}",
                "${ jndi:ldap://a}",
                "service:jmx:rmi:///jndi/ldap://a:1389/o",
                "hello, a ${${lower:jn}di:ldap://a} in a longer sentence with many words in it",
            ],
        ),
        ("expression-hidden-lookup", &["${${::-a}${::-b}${::-c}}"]),
        (
            "expression-ognl",
            &[
                "%{(#a=@java.lang.Runtime@getRuntime())}",
                "@java.lang.System@getenv()",
                "#_memberAccess['allowStaticMethodAccess']=true",
                "(#cmd='id')",
                "%{(#x=new java.util.Date())}",
                "redirect:${#context['x']}",
                "a[#this.getClass()]",
            ],
        ),
        (
            "expression-class",
            &[
                "${T(java.lang.Runtime).getRuntime().exec('id')}",
                "#{T(java.lang.System).getenv()}",
                "''.class.forName('java.lang.Runtime')",
                "new java.lang.ProcessBuilder({'id'}).start()",
                "com.tangosol.coherence.mvel2.sh.ShellSession('x')",
            ],
        ),
        (
            "expression-class-loader",
            &["class.module.classLoader.resources.context", "class.classLoader.defaultAssertionStatus"],
        ),
    ];
    for (rule, values) in rows {
        for value in *values {
            let judged = judged(value);
            assert!(
                judged.is_some_and(|(id, confidence)| confidence >= High && id == *rule),
                "{value}: {judged:?}, not {rule}"
            );
        }
    }
}

#[test]
fn placeholders_addresses_and_links_pass() {
    let values = [
        "${HOME}",
        "${PORT:-3000}",
        "${a:-b}${c:-d}${e:-f}${g:-h}",
        "${sys:user.home}/logs",
        "${env:HOST:-local}",
        "${${a}}",
        "${",
        "me@java.lang.example",
        "@java.lang.Override",
        "[a](#section) and (#other)",
        "(#12)",
        "print(java.util.Date())",
        "#context of this",
        "The class loader of a Java program is class.classLoader, as the manual explains in detail.",
        "${{ a }}",
        "T(n) = 2T(n/2) + n",
        "color: #thisone",
        "jndi: an interface for directories",
        "a class.class",
        "${spring.datasource.url:jdbc:h2:mem}",
    ];
    for value in values {
        let judged = judged(value);
        assert!(judged.is_none_or(|(_, confidence)| confidence < High), "{value}: {judged:?}");
    }
}

#[test]
fn the_prefilter_knows_every_mark() {
    FOUND.check(&NEEDS);
}

#[test]
fn work_is_linear() {
    for piece in ["${", "${a:-", "${lower:a}", "${::-j}", "}", "(#a=", "@java.lang.", "${${${}}}"] {
        let units = units(&DETECTOR, piece);
        assert!(units <= 16, "{units} units a byte for {piece:?}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_bytes_make_it_panic(pieces in proptest::collection::vec(proptest::sample::select(vec!["${", "}", ":-", "lower:", "date:'", "jndi:", "j", "'", "(#a", "=", "@java.lang.", "\u{e9}"]), 0..80)) {
        let _ = confidence_in(&DETECTOR, Part::Query, pieces.concat().as_bytes());
    }
}
