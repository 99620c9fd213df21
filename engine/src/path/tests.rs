use proptest::prelude::*;

use super::*;

fn sure(part: Part, value: &[u8]) -> Confidence {
    detect(part, value).map_or(Low, |found| found.confidence)
}

#[test]
fn values_that_leave_their_directory_are_attacks() {
    let rows: &[(Part, &[u8])] = &[
        (Part::Query, b"../../../../etc/passwd"),
        (Part::Query, b"../wp-config.php"),
        (Part::Json, b"..\\..\\..\\windows\\win.ini"),
        (Part::Form, b"....//....//....//etc/hosts"),
        (Part::Query, b"..;/..;/manager/html"),
        (Part::Query, b"..%2f..%2fa"),
        (Part::Query, b"..%252f..%252f..%252fa"),
        (Part::Query, b"\xC0\xAE\xC0\xAE/\xC0\xAE\xC0\xAE/a"),
        (Part::Query, b"..\xC1\x9C..\xC1\x9Cwinnt"),
        (Part::Query, b"0x2e0x2e0x2f0x2e0x2e0x2fetc"),
        (Part::Query, "..\u{2215}..\u{2215}a".as_bytes()),
        (Part::Query, "\u{ff0e}\u{ff0e}/\u{ff0e}\u{ff0e}/a".as_bytes()),
        (Part::Query, b"../../a"),
        (Part::Query, b".././.././../a"),
        (Part::Query, b"../img/a\0.png"),
        (Part::Query, b"..2f..2f..2f..2fetc2fpasswd"),
        (Part::Query, b" ../../../../etc/passwd index.html"),
        (Part::Query, b"img/../../../../etc/shadow"),
        (Part::Json, b"../../../../../../srv/a.json"),
        (Part::Path, b"/../conf"),
        (Part::Path, b"/a/../../b"),
        (Part::Path, b"..\\secret"),
        (Part::Path, b"/files/etc/passwd"),
        (Part::Path, b"/static/c:/windows/win.ini"),
        (Part::Path, b"/.git/HEAD"),
        (Part::Path, b"/.env"),
        (Part::Path, b"/api/.aws/credentials"),
        (Part::Path, b"/WEB-INF/web.xml"),
        (Part::Path, b"/proc/self/environ"),
        (Part::Path, b"/wp-config.php.bak"),
        (Part::Path, b"/a-name-that-is-longer-than-others/and-so-on/until-it-is-longer-than-what-is-kept/of-a-name/.env"),
        (Part::Query, b"/etc/passwd"),
        (Part::Query, b"/etc/./passwd"),
        (Part::Query, b"C:\\boot.ini"),
        (Part::Query, b"/proc/self/environ"),
        (Part::Query, b"/var/log/apache2/access.log"),
        (Part::Query, b".htpasswd"),
        (Part::Query, b"\\\\host\\c$\\users\\a"),
        (Part::Query, b"Li4vLi4vLi4vLi4vZXRjL3Bhc3N3ZA=="),
        (Part::Query, b"/../a"),
        (Part::Form, b"\\..\\a"),
        (Part::Cookie, b"/./../conf/a"),
        (Part::Cookie, b"../../a"),
        (Part::Query, b"..%2f<a>"),
        (Part::Form, b"..;/[a]"),
        (Part::Query, b"%\\..%\\..%\\..%\\a"),
        (Part::Query, b"..2fetc2fpasswd"),
        (Part::Json, "..\u{fffd}\u{fffd}..\u{fffd}\u{fffd}a".as_bytes()),
        (Part::Json, b".\\/\\.\\.\\/a"),
        (Part::Query, b"./\\/././\\/./a"),
        (Part::Query, b"......etcpasswd"),
        (Part::Query, b"c:windowswin.ini"),
        (Part::Query, b"team/.htpasswd"),
        (Part::Path, b"/view/file:///etc/passwd/"),
        (Part::Query, &[b"/".as_slice(), &[b'b'; 200], b"/../a"].concat()),
        (Part::Json, &[[b'7'; 200].as_slice(), b"....a"].concat()),
        (Part::Query, b"..\\secret"),
        (Part::Form, b"..\\a.config"),
        (Part::Query, b"..;.\\.;\\."),
        (Part::Form, b"..;/..;\\"),
        (Part::Header, b"0x5c0x2e./"),
        (Part::Query, b"%5c%2e./a"),
    ];
    for (part, value) in rows {
        assert!(
            sure(*part, value) >= High,
            "{part:?} {}: {:?}",
            String::from_utf8_lossy(value),
            detect(*part, value)
        );
    }
}

#[test]
fn texts_versions_and_assets_are_ordinary() {
    let rows: &[(Part, &[u8])] = &[
        (Part::Query, b"../lib"),
        (Part::Form, b"../images/a.png"),
        (Part::Form, b"../../images/a.png"),
        (Part::Json, b"../../../node_modules/a/index.js"),
        (Part::Json, b"../../tsconfig.json"),
        (Part::Form, b"<img src=\"../../../images/a.png\">"),
        (Part::Form, b"see ../2025/minutes.docx and so on ..."),
        (Part::Form, b"cd ../../.. && ls"),
        (Part::Json, b"cat /etc/passwd | cut -d: -f1"),
        (Part::Json, b"/etc/config"),
        (Part::Json, b"app/etc/passwd_policy.rb"),
        (Part::Path, b"/team/etc/passwd-backups/a.php"),
        (Part::Path, b"/etc/designs/shop/a.png"),
        (Part::Path, b"/compare/v1.2..v1.3"),
        (Part::Path, b"/a/b/../c"),
        (Part::Path, b"/.well-known/security.txt"),
        (Part::Path, b"/group/repo.git/HEAD"),
        (Part::Path, b"/org/repo/blob/main/.env"),
        (Part::Path, b".env"),
        (Part::Query, b"1..5"),
        (Part::Query, b"main...topic/branch"),
        (Part::Query, b"wait.../ what"),
        (Part::Query, b"./..."),
        (Part::Query, b"\\\\server\\share\\report.docx"),
        (Part::Json, b"C:\\Users\\a\\Documents\\b.txt"),
        (Part::Query, b"/home"),
        (Part::Query, b"/usr/local/bin/node"),
        (Part::Query, b"C:/Program Files/App/app.exe"),
        (Part::Xml, b"/etc/nginx/conf.d"),
        (Part::Query, b"/images/a.png"),
        (Part::Text, b"to read it: ../../../../etc/passwd"),
        (Part::Json, b"process.env.PORT"),
        (Part::Form, b"the file /etc/passwd holds accounts"),
        (Part::Query, "это \u{2026} и\u{0440} так".as_bytes()),
        (Part::Query, b""),
        (Part::Query, b"/../images/a.png"),
        (Part::Json, b"/../a"),
        (Part::Query, b"100%/day"),
        (Part::Form, b"wait......etc"),
        (Part::Form, b"........"),
        (Part::Query, b"c:windows"),
        (Part::Query, b"a..2fetc"),
        (Part::Json, "caf\u{fffd}\u{fffd}/men\u{fffd}\u{fffd}".as_bytes()),
        (Part::Json, "well..\u{fffd} \u{fffd}".as_bytes()),
        (Part::Json, b"^\\.\\/src\\/"),
        (Part::Form, b"how do I write a .htpasswd"),
        (Part::Query, &[b'a'; 300]),
        (Part::Query, &[[b'-'; 200].as_slice(), b"..."].concat()),
        (Part::Query, b"..\\"),
        (Part::Form, b"..\\images\\a.png"),
        (Part::Json, b"..\\packages\\a.dll"),
        (Part::Form, b"see ..\\docs for more of it"),
        (Part::Query, b"...;..."),
        (Part::Query, b"..;..;.."),
    ];
    for (part, value) in rows {
        assert!(
            sure(*part, value) < High,
            "{part:?} {}: {:?}",
            String::from_utf8_lossy(value),
            detect(*part, value)
        );
    }
}

#[test]
fn who_looks_for_a_file_that_everybody_knows_is_not_refused() {
    for file in ["/etc/hosts", "/var/log/syslog", " /proc/cpuinfo "] {
        assert!(is_well_known(file.as_bytes()), "{file}");
    }
    for file in ["/etc/passwd", "/etc/shadow", "/etc/hosts/../passwd", "/var/log/proftpd", "etc/hosts"] {
        assert!(!is_well_known(file.as_bytes()), "{file}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(value in proptest::collection::vec(prop_oneof![Just(b'.'), Just(b'/'), Just(b'%'), Just(b'\\'), Just(b'2'), any::<u8>()], 0..200)) {
        for part in [Part::Query, Part::Path, Part::Json, Part::Text] {
            if let Some(found) = detect(part, &value) {
                prop_assert!(found.start <= found.end && found.end <= value.len());
            }
        }
    }
}
