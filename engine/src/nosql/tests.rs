use super::*;
use crate::marks::{confidence_in, units};

#[test]
fn operators_and_code_of_document_databases_are_refused() {
    let rows: &[(&str, Part, &[&str])] = &[
        (
            "nosql-operator-name",
            Part::QueryName,
            &["user[$ne]", "a[b][$gt][]", "password[$regex]", "$where", "[$in]"],
        ),
        ("nosql-operator-key", Part::JsonKey, &["$ne", "$regex", "$where", "$nin", "$or"]),
        (
            "nosql-operator",
            Part::Form,
            &[
                "', $or: [ {}, { 'x':'x",
                "{ $ne: 1 }",
                "{$gt: ''}",
                "true, $where: '2 == 2'",
                "$where: '1'",
                "[$ne]=1",
                "[$lte]x",
                "' } ], $comment:'x'",
            ],
        ),
        (
            "nosql-condition",
            Part::Form,
            &[
                "bob' || 'x'=='x",
                "5 && 'a'!='a'",
                "|| 1==1",
                "bob\" && \"b\"==\"b\" && \"b\"==\"b",
                "x' || 2 === 2 //",
            ],
        ),
        (
            "nosql-statement",
            Part::Form,
            &[
                "0;return true",
                "';return true;//",
                "\";return(true);var a='b",
                "';sleep(900);",
                "';return 'x'=='x' && ''=='",
                "1;var d=new Date();do{c=new Date();}while(c-d<9)",
                "while(!0);",
                "while(this);",
                "while(-Infinity);",
                "while(!null);",
                "while(!undefined)",
            ],
        ),
        (
            "nosql-record",
            Part::Form,
            &["' && this.secret.match(/.*/)//", "db.people.insert({a:1});", "';db.dropDatabase();"],
        ),
    ];
    for (rule, part, values) in rows {
        for value in *values {
            let judged = confidence_in(&DETECTOR, *part, value.as_bytes());
            assert!(
                judged.is_some_and(|(id, confidence)| confidence >= High && id == *rule),
                "{value}: {judged:?}, not {rule}"
            );
        }
    }
}

#[test]
fn names_and_code_of_other_languages_pass() {
    let rows: &[(Part, &[&str])] = &[
        (
            Part::QueryName,
            &["$filter", "$select", "$top", "$count", "filter[name]", "a[$id]", "price$", "$in", "$or$"],
        ),
        (
            Part::JsonKey,
            &["$ref", "$schema", "$id", "$type", "$gt", "$in", "$match", "price", "$", "$nearby"],
        ),
        (
            Part::Form,
            &[
                "I paid $in cash",
                "$order: 12",
                "costs $gt",
                "a || b",
                "fish && chips",
                "if (a || b == 'c') return true;",
                "return true",
                "please return 1 item; return 2 more",
                "this.name == that.name",
                "foo(); return false;",
                "$list[$in] = 1",
                "see db.find",
                "x && y == 1",
                "query($id: ID!, $in: Int) { a }",
                "while(true) you wait for something that never happens; it is late",
                "price > 1 || price < 2",
                "sleep(8) hours a night",
                "a ? b : c; d",
                "1 || 2",
                "$$ || $$",
                "Posting {\"a\":{\"$ne\":null}} let anybody in",
            ],
        ),
    ];
    for (part, values) in rows {
        for value in *values {
            let judged = confidence_in(&DETECTOR, *part, value.as_bytes());
            assert!(judged.is_none_or(|(_, confidence)| confidence < High), "{value}: {judged:?}");
        }
    }
}

#[test]
fn the_prefilter_knows_every_mark() {
    FOUND.check(&NEEDS);
}

#[test]
fn work_is_linear() {
    for piece in ["||", "&& 'a", "$ne", "return ", ";sleep(", "this.", "db.", "new Date}while(", "[$"] {
        let units = units(&DETECTOR, piece);
        assert!(units <= 16, "{units} units a byte for {piece:?}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_bytes_make_it_panic(pieces in proptest::collection::vec(proptest::sample::select(vec!["||", "&&", "'", "\"", "1", "==", "$ne", "[", "]", ":", "return", ";", "(", "sleep(", "while(", "this.", "db.", " ", "\u{e9}"]), 0..40)) {
        for part in [Part::Query, Part::QueryName, Part::JsonKey] {
            let _ = confidence_in(&DETECTOR, part, pieces.concat().as_bytes());
        }
    }
}
