//! Texts of others as one line for people. What a pod, a policy or a sidecar says ends in logs, events, statuses and
//! answers, and from there in terminals: it must not colour, move, hide or turn round what stands beside it.
//!
//! Called by whoever passes on a text that the operator did not write.

/// One printable line of at most `most` characters; what is left out is shown by three dots.
pub fn line(text: &str, most: usize) -> String {
    let kept = if text.chars().nth(most).is_some() { most.saturating_sub(3) } else { most };
    let dots = if kept < most { "..." } else { "" };
    let printable = |char: char| if is_printable(char) { char } else { ' ' };
    text.chars().take(kept).map(printable).chain(dots.chars()).collect()
}

/// Neither a control character (C0, DEL and C1, which terminals obey) nor one that is not seen or changes the order of
/// those around it (Unicode TR 36, "bidirectional text spoofing").
pub fn is_printable(char: char) -> bool {
    !char.is_control()
        && !matches!(char,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn a_text_of_others_is_one_printable_line_of_bounded_length() {
        let table = [
            ("a plain text, ü and 漢", "a plain text, ü and 漢"),
            ("\u{1b}[31mred\u{1b}[0m", " [31mred [0m"),
            ("a\r\nb\tc\0d", "a  b c d"),
            ("csi \u{9b}31m del \u{7f}", "csi  31m del  "),
            ("\u{202e}evil\u{2066}x\u{200b}y\u{feff}\u{e0041}", " evil x y  "),
            ("a\u{2028}b", "a b"),
        ];
        for (text, expected) in table {
            assert_eq!(line(text, 100), expected, "{text:?}");
        }
        assert_eq!(line("12345", 5), "12345");
        assert_eq!(line("123456", 5), "12...");
        assert_eq!(line(&"ü".repeat(1000), 10).chars().count(), 10);
    }
}
