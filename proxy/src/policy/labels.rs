//! Labels of the pod in the form the downward API writes: one `key="value"` a line, the value escaped as Go does it.

use rasp_policy::selector::Labels;

/// Reads the file. A line that is none is left out: labels only ever select, so a lost one must not stop a policy.
pub fn parse(text: &str) -> Labels {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<(String, String)> {
    let (key, quoted) = line.split_once('=')?;
    let inner = quoted.trim_end().strip_prefix('"')?.strip_suffix('"')?;
    let mut value = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            value.push(character);
            continue;
        }
        match characters.next()? {
            'n' => value.push('\n'),
            't' => value.push('\t'),
            'r' => value.push('\r'),
            escaped => value.push(escaped),
        }
    }
    Some((key.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_what_the_downward_api_writes() {
        let labels = parse("app=\"web\"\nodd=\"a\\\"b\\\\c\\nd\"\nempty=\"\"\nnot a label\nbroken=\"x\n");
        let pairs: Vec<_> = labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("app", "web"), ("empty", ""), ("odd", "a\"b\\c\nd")]);
    }
}
