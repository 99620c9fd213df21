use proptest::prelude::*;

use super::*;
use crate::finding::Confidence::{Certain, Low};

#[test]
fn names_that_a_server_runs_are_told_however_they_are_written() {
    let rows: &[(&[u8], &str, Confidence)] = &[
        (b"shell.php", "webshell-name", Medium),
        (b"page.JSP", "webshell-name", Medium),
        (b"x.phtml", "webshell-name", High),
        (b"x.pHp5", "webshell-name", High),
        (b"x.phar", "webshell-name", High),
        (b"x.cer", "webshell-name", High),
        (b"x.php.jpg", "webshell-disguised", High),
        (b"x.jpg.php", "webshell-disguised", High),
        (b"x.php\0.jpg", "webshell-disguised", High),
        (b"x.php%00.png", "webshell-disguised", High),
        (b"x.php.", "webshell-disguised", High),
        (b"x.aspx . .", "webshell-disguised", High),
        (b"x.asp::$DATA", "webshell-disguised", High),
        (b"x.php:.jpg", "webshell-disguised", High),
        (b"x.asp;.jpg", "webshell-disguised", High),
        (b"..\\..\\www\\x.php ", "webshell-disguised", High),
        (b".htaccess", "webshell-settings", High),
        (b"a/.user.ini", "webshell-settings", High),
        (b"Web.config", "webshell-settings", High),
        (b".boto", "webshell-settings", High),
        (b"x.php907", "webshell-name", High),
        (b"x.phps", "webshell-name", High),
        (b"x. php", "webshell-disguised", High),
        (b"x. jspx", "webshell-disguised", High),
        (b"x.p\\h\\p", "webshell-disguised", High),
        (b"sess_0123456789abcdefghijkl", "webshell-session", High),
        (b"/tmp/SESS_0123456789abcdefghijkl", "webshell-session", High),
    ];
    for (file, rule, confidence) in rows {
        let found = name::judge(file).map(|(rule, confidence)| (rule.id.0, confidence));
        assert_eq!(found, Some((*rule, *confidence)), "{}", file.escape_ascii());
    }
    let benign: &[&[u8]] = &[
        b"photo.jpg",
        b"report.final.pdf",
        b"php.pdf",
        b"how to php.docx",
        b"asp.net.pdf",
        b"a.php.txt",
        b"a.php.zip",
        b"archive.tar.gz",
        b"v1.2.3.png",
        b"C:\\Users\\a\\b.docx",
        b"config.web",
        b"htaccess.txt",
        b"blob",
        b"",
        b".",
        b"...",
        b"a.jspx.bak",
        b"ends with dot.",
        b"Meeting 10:30.ics",
        b".gitignore",
        b"sess_notes",
        b"session_0123456789abcdefghijkl",
        b"sess_0123456789abcdefghijkl.pdf",
        b"v1. 2 notes",
        b"a. b",
        b"Mr. PhP notes.txt",
        b"C:\\x.y\\php",
        b"x.phpx1",
    ];
    for file in benign {
        assert!(name::judge(file).is_none(), "{}: {:?}", file.escape_ascii(), name::judge(file));
    }
}

#[test]
fn code_that_runs_what_a_request_says_is_told_from_other_files() {
    let rows: &[(&[u8], &str, Confidence)] = &[
        (b"<?php system($_GET['c']); ?>", "webshell-code", Certain),
        (b"<?php @eval($_POST[x]);", "webshell-code", Certain),
        (b"<?=`$_GET[0]`?>", "webshell-code", Certain),
        (b"<? $_GET['a']($_GET['b']); ?>", "webshell-code", Certain),
        (b"<?PHP\n$f = $_REQUEST['f'];\nShell_Exec ($f);", "webshell-code", Certain),
        (b"<?php eval(base64_decode('aWYo')); ?>", "webshell-code", High),
        (b"<?php echo md5(\"a1b2\");unlink(__FILE__);?>", "webshell-probe", High),
        (b"<?php phpinfo(); ?>", "webshell-probe", High),
        (b"<?php\r\n\r\necho \"PROBE-2026-7\";\r\n\r\n?>", "webshell-probe", High),
        (b"<?php echo base64_decode($_GET['a']);?>", "webshell-probe", High),
        (b"text before <?php include $_GET['p'];", "webshell-code", Certain),
        (b"GIF89a;<?php phpinfo();", "webshell-polyglot", Certain),
        (b"\xFF\xD8\xFF\xE0\0\x10JFIF<?=system('id')?>", "webshell-polyglot", Certain),
        (b"%PDF-1.4\n<?php system($_GET[0]); ?>", "webshell-polyglot", Certain),
        (
            b"<%@ page import=\"java.io.*\"%><% Runtime.getRuntime().exec(request.getParameter(\"c\")); %>",
            "webshell-code",
            Certain,
        ),
        (b"<%eval request(\"c\")%>", "webshell-code", Certain),
        (
            b"<%@ Page Language=\"C#\"%><% System.Diagnostics.Process.Start(Request[\"c\"]); %>",
            "webshell-code",
            Certain,
        ),
        (b"<% new ProcessBuilder(\"id\").start(); %>", "webshell-code", High),
    ];
    for (file, rule, confidence) in rows {
        let found = content::judge(file).map(|(rule, confidence, _)| (rule.id.0, confidence));
        assert_eq!(found, Some((*rule, *confidence)), "{}", file.escape_ascii());
    }
    let benign: &[&[u8]] = &[
        b"<?xml version=\"1.0\"?><svg/>",
        b"<?php\nnamespace App;\nclass User { public function name() { return $this->name; } }",
        b"<?php echo htmlspecialchars($_GET['name']); ?>",
        b"<?php echo \"Hello, World!\"; ?>",
        b"<?php echo 'Helloworld'; function f() { return 1; }",
        b"<?php\n$hash = md5_file($path);\nif ($hash) { echo $hash; }",
        b"# Notes\n`<?php phpinfo(); ?>` shows the settings",
        b"<ul><% for (const item of items) { %><li><%= item %></li><% } %></ul>",
        b"<% if @user.admin? %>x<% end %>",
        b"\xFF\xD8\xFF\xE0\0\x10JFIF <?\x01\x02",
        b"\x89PNG\r\n\x1a\n<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?>",
        b"%PDF-1.7\n<?xpacket begin?><rdf:RDF/>",
        b"a text on eval($_GET) without a tag",
        b"name,price\n<5,10\n",
        b"",
    ];
    for file in benign {
        assert!(content::judge(file).is_none(), "{}: {:?}", file.escape_ascii(), content::judge(file));
    }
    let mut program = b"<?php\n".to_vec();
    program.extend(b"// a line of a long program\n".repeat(200));
    program.extend(b"$page = $_GET['page'];\nfwrite($log, $page);\n");
    assert!(content::judge(&program).is_none(), "a program that reads requests and writes files");
}

#[test]
fn requests_for_known_shells_are_told_from_other_pages() {
    for (segment, confidence) in [
        ("c99.php", High),
        ("WSO.php", High),
        ("jspspy.jsp", High),
        ("cmd.aspx", Medium),
        ("shell.php", Medium),
    ] {
        assert_eq!(path(segment.as_bytes()), Some(confidence), "{segment}");
    }
    for segment in
        ["index.php", "shell", "shell.html", "seashell.php", "c99.pdf", "cmd.js", "", ".php", "alfa.png"]
    {
        assert_eq!(path(segment.as_bytes()), None, "{segment}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(value in proptest::collection::vec(prop_oneof![Just(b'.'), Just(b'<'), Just(b'?'), Just(b'%'), Just(b'='), Just(b':'), Just(b'['), Just(b']'), any::<u8>()], 0..200)) {
        let _ = (name::judge(&value), content::judge(&value), path(&value));
        prop_assert!(path(&value).unwrap_or(Low) <= High);
    }
}

#[test]
fn a_file_that_is_no_picture_although_its_type_says_so_is_a_hint() {
    let ruleset = crate::Ruleset::build(&crate::Effective::builtin_blocking()).unwrap();
    let found = |content_type: &str, content: &str| -> Vec<(&'static str, Confidence)> {
        let body = format!(
            "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.png\"\r\nContent-Type: {content_type}\r\n\r\n\
             {content}\r\n--b--\r\n"
        );
        let head = crate::Head {
            method: "POST",
            target: b"/",
            content_type: Some(b"multipart/form-data; boundary=b"),
            content_encoding: None,
            fields: &(),
        };
        let mut inspection = ruleset.inspect_head(&head);
        ruleset.inspect_body(&head, crate::Body::Complete(body.as_bytes()), &mut inspection);
        let findings = inspection.findings().iter().filter(|finding| finding.class == Class::WebShell);
        findings.map(|finding| (finding.rule.0, finding.confidence)).collect()
    };
    for content in ["<script>alert(1)</script>", " <!DOCTYPE html><p>", "<svg onload=a()>", "<html><body>"] {
        assert_eq!(found("image/png", content), [("webshell-type", Low)], "{content}");
        assert_eq!(found("text/html", content), [], "{content}");
        assert_eq!(found("image/svg+xml", content), [], "{content}");
    }
    assert_eq!(found("image/png", "\u{89}PNG\r\n\u{1a}\n<html in a comment>"), []);
    assert_eq!(found("image/png", "<?php system($_GET['c']); ?>"), [("webshell-code", Certain)]);
}

#[test]
fn a_field_of_the_head_that_names_a_program_is_an_upload() {
    let is_one = |name: &str, value: &str| {
        let fields: &[(&str, &str)] = &[("Host", "a.example"), (name, value)];
        let ruleset = crate::Ruleset::build(&crate::Effective::builtin_blocking()).unwrap();
        let head = Head {
            method: "PUT",
            target: b"/files",
            content_type: None,
            content_encoding: None,
            fields: &fields,
        };
        let inspection = ruleset.inspect_head(&head);
        inspection.findings().iter().any(|found| found.class == Class::WebShell && found.confidence >= High)
    };
    for name in ["X-Filename", "x_filename", "X-File-Name", "X.Filename"] {
        for value in ["a.php", "b.JSP", "a.phtml....", "dir/a.phar", ".boto", "sess_0123456789abcdefghij"] {
            assert!(is_one(name, value), "{name}: {value}");
        }
        for value in ["photo.jpg", "a.php.txt", "notes", "php", "report 1.2.pdf", ""] {
            assert!(!is_one(name, value), "{name}: {value}");
        }
    }
    for name in ["X-Filenames-Count", "X-Profile", "Filter", "Content-Disposition", "X-Field"] {
        assert!(!is_one(name, "a.php"), "{name}");
    }
}
