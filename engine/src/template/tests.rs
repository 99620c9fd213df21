use super::*;
use crate::finding::Part;
use crate::marks::{confidence_in, units};

fn judged(value: &str) -> Option<(&'static str, Confidence)> {
    confidence_in(&DETECTOR, Part::Form, value.as_bytes())
}

#[test]
fn templates_that_attack_are_refused() {
    let rows: &[(&str, &[&str])] = &[
        (
            "template-arithmetic",
            &[
                "{{9*9}}",
                "{{ 8 * 8 }}",
                "${8*9}",
                "#{4*4}",
                "<%= 6*7 %>",
                "*{5*5}",
                "@(3+4)",
                "{{3*'3'}}",
                "${{6*6}}",
                "{{{5*5}}}",
                "[[${6*6}]]",
                "[[4*4]]",
                "bob{{6*6}}",
                "x\\u0027+#{12*99}+\\u0027y",
                "{{(2+3)*4}}",
                "{5*5}",
                "{{'a'~'b'}}",
                "{{(1,6*7)}}",
                "a%{12*12}",
                "{{=8*8}}",
                "a{1}{*23*}{4}",
            ],
        ),
        (
            "template-internal",
            &[
                "{{''.__class__}}",
                "{{ ''.__class__.__mro__[1].__subclasses__() }}",
                "${self.module.cache.util.linecache.os}",
                "{{request.application}}",
                "{{self._TemplateReference__context}}",
                "{{''.class.mro()}}",
                "{{lipsum}}",
                "{{_self.env.registerUndefinedFilterCallback('x')}}",
                "{{constructor.constructor('alert(1)')()}}",
                "hello {{ cycler.__init__ }}",
                "{{request['__class__']}}",
                "a{{1234567890}}{{''}}{% set a = 'some more words here' %}{% for b in [].__class__.__base__.__subclasses__() %}",
                "{% if ''.__class__ %}a{% endif %}",
            ],
        ),
        (
            "template-call",
            &[
                "{{['id']|map('system')}}",
                "{{['id']|filter('passthru')}}",
                "<%= system('id') %>",
                "<%= `id` %>",
                "{% import os %}",
                "#{system('id')}",
                "@{[system 'id']}",
                "<%= File.read('/etc/hosts') %>",
                "{{phpinfo()}}",
                "${os.popen('id')}",
            ],
        ),
        (
            "template-building",
            &[
                "{{x|attr('_''_init_''_')}}",
                "{{request|attr('\\x5f\\x5fx')}}",
                "{{'a'.toLowerCase()}}",
                "${\"z\".join(\"ab\")}",
                "{% raw 'a'.join('b') %}",
                "{%set a={}|int%}",
                "{{request|attr([a.b*2,c]|join)}}",
            ],
        ),
        (
            "template-object",
            &[
                "{{request}}",
                "{{ self }}",
                "{%print(g)%}",
                "{% print request %}",
                "{{config.items()}}",
                "{{dump(app)}}",
                "{$smarty.version}",
                "${applicationScope}",
            ],
        ),
        (
            "template-directive",
            &[
                "<#assign x=\"freemarker.template.utility.Execute\"?new()>",
                "${\"a.b.C\"?new()(\"id\")}",
                "{php}echo 1;{/php}",
            ],
        ),
    ];
    for (rule, values) in rows {
        for value in *values {
            let judged = judged(value);
            assert!(
                judged
                    .is_some_and(|(id, confidence)| confidence >= Confidence::High
                        && (id == *rule || value.len() > 30)),
                "{value}: {judged:?}, not {rule}"
            );
        }
    }
}

#[test]
fn placeholders_and_code_pass() {
    let values = [
        "{{ user.name }}",
        "Dear {{first_name}} {{last_name}},",
        "{% for item in items %}{{ item.price|round(2) }}{% endfor %}",
        "${HOME}/bin",
        "${{ github.ref }}",
        "$__interval",
        "`${a.b()} of ${total - done}`",
        "${PORT:-3000}",
        "${f%.jpg}",
        "{{ '%.2f'|format(item.price) }}",
        "{{ ', '.join(names) }}",
        "{{ config.SITE_NAME }}",
        "{{ request.user.username }}",
        "<%= h item.name %>",
        "<% @items.each do |i| %>",
        "#{user.first_name}",
        "{{#if a}}b{{/if}}",
        "{{> header}}",
        "{{1|default}}",
        "{{ 'now'|date('Y') }}",
        "[[Main Page|the ''main'' page]]",
        "{{cite web|url=x|title=y}}",
        "{{2024-01-31}}",
        "{}",
        "{{}}",
        "{\"a\":1}",
        "${i * 2}",
        "{{ count * 2 }}",
        "*{margin:0;padding:0}",
        "@media (min-width: 10px)",
        "a{2,3}b",
        "#define X(a) {a}",
        "[#12] fixed in <#general>",
        "@(bob) hi",
        "f({a: 1}, {b: 2})",
        "{{ backgroundColor: '#fff', padding: '1px 0' }}",
        "const re = /x/; s = `${re.exec(text)[1]}`;",
        "\\frac{7*8}{2} in a long line of text with words",
        "In Jinja you write {{ 7*7 }} to see whether it computes, as the documentation says.",
        "{{ 'hello'|upper }}",
        "{0} of {1} files",
        "{ system: true }",
        "{{ app.request.locale }}",
        "%{GREEDYDATA:message}",
        "%{name} of %{count}",
        "{{ \"text\"|trans }}",
        "\u{7b}\u{7b}日本語\u{7d}\u{7d}",
    ];
    for value in values {
        let judged = judged(value);
        assert!(judged.is_none_or(|(_, confidence)| confidence < Confidence::High), "{value}: {judged:?}");
    }
}

#[test]
fn the_prefilter_knows_every_mark() {
    MARKS.check(&NEEDS);
}

#[test]
fn work_is_linear() {
    for piece in [
        "{{",
        "${",
        "{{'",
        "{{ a }}",
        "<%",
        "@(",
        "{{(",
        "${'${",
        "{%{{",
        "{9",
        "[[",
        "<#",
        "?new()",
        "{{${#{",
        "<%= d %c')}",
        "<%= d %>#{e}{% if f %}[[${}}",
    ] {
        let units = units(&DETECTOR, piece);
        assert!(units <= 24, "{units} units a byte for {piece:?}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_bytes_make_it_panic(value in proptest::collection::vec(proptest::sample::select(b"{}%$#<>=@()[]*'\"|~+ 7ax_.\\\n\xC3".to_vec()), 0..64)) {
        let _ = confidence_in(&DETECTOR, Part::Query, &value);
    }
}
