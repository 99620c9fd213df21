//! Finds the certificate for the name that a client asks for. Pure.
//!
//! A wildcard stands for exactly one whole label, the leftmost (RFC 9525 section 6.3); the common name of a certificate
//! says nothing (section 2). A full name wins over a wildcard, an earlier certificate over a later one.

use std::collections::HashMap;

/// Names of certificates, in lower case.
#[derive(Debug, Default)]
pub(super) struct Names {
    full: HashMap<Box<str>, usize>,
    /// What follows `*.`
    wildcard: HashMap<Box<str>, usize>,
}

impl Names {
    /// Adds a name of the certificate at `index`.
    pub(super) fn add(&mut self, name: &str, index: usize) {
        let name = normal(name);
        let (map, name) = match name.strip_prefix("*.") {
            Some(rest) => (&mut self.wildcard, rest),
            None => (&mut self.full, &*name),
        };
        // `w*.example.com` and `*` alone are names of nothing.
        if !name.is_empty() && !name.contains('*') {
            map.entry(name.into()).or_insert(index);
        }
    }

    /// The certificate for a name.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        let name = normal(name);
        let parent = || name.split_once('.').filter(|(label, _)| !label.is_empty());
        self.full.get(&*name).or_else(|| self.wildcard.get(parent()?.1)).copied()
    }
}

fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::Names;

    #[test]
    fn a_wildcard_stands_for_one_whole_label() {
        let mut names = Names::default();
        let certificates: [&[&str]; 5] = [
            &["shop.example.com", "Other.Example"],
            &["*.example.com", "admin.example.com"],
            &["api.example.com", "shop.example.com"],
            &["w*.example.org", "*", "*.*.example.org", ""],
            &["*.deep.example.com"],
        ];
        for (index, certificate) in certificates.iter().enumerate() {
            certificate.iter().for_each(|name| names.add(name, index));
        }
        let table = [
            ("shop.example.com", Some(0)),
            ("SHOP.example.COM.", Some(0)),
            ("other.example", Some(0)),
            ("anything.example.com", Some(1)),
            ("admin.example.com", Some(1)),
            ("api.example.com", Some(2)),
            ("x.deep.example.com", Some(4)),
            ("x.y.deep.example.com", None),
            ("example.com", None),
            (".example.com", None),
            ("www.example.org", None),
            ("com", None),
            ("", None),
        ];
        for (name, expected) in table {
            assert_eq!(names.find(name), expected, "{name}");
        }
    }
}
