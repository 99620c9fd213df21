//! Reads the quantities of Kubernetes, as far as requests and limits of containers are written: a decimal number and a
//! suffix. Exponents (`1e3`) are not read. Pure.

/// Suffixes, and how many thousandths of the unit one stands for.
const SUFFIXES: [(&str, u128); 14] = [
    ("", 1000),
    ("m", 1),
    ("k", 1_000_000),
    ("M", 1_000_000_000),
    ("G", 1_000_000_000_000),
    ("T", 1_000_000_000_000_000),
    ("P", 1_000_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000_000),
    ("Ki", 1000 << 10),
    ("Mi", 1000 << 20),
    ("Gi", 1000 << 30),
    ("Ti", 1000 << 40),
    ("Pi", 1000 << 50),
    ("Ei", 1000 << 60),
];

/// In thousandths of the unit: of a core, of a byte. `None` for what is no quantity, or has more than six decimals.
pub(super) fn parse(text: &str) -> Option<u128> {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (_, size) = SUFFIXES.iter().find(|(known, _)| *known == suffix)?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && decimals.is_empty()) || decimals.contains('.') || decimals.len() > 6 {
        return None;
    }
    let digits: u128 = format!("{whole}{decimals}").parse().ok()?;
    let scale = 10_u128.checked_pow(u32::try_from(decimals.len()).ok()?)?;
    Some(digits.checked_mul(*size)? / scale)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_quantity_is_a_number_with_a_suffix() {
        let table = [
            ("1", Some(1000)),
            ("500m", Some(500)),
            ("0.5", Some(500)),
            (".5", Some(500)),
            ("1.", Some(1000)),
            ("2k", Some(2_000_000)),
            ("1Ki", Some(1_024_000)),
            ("128Mi", Some(128_000 << 20)),
            ("0.5Gi", Some(500 << 30)),
            ("", None),
            (".", None),
            ("-1", None),
            ("+1", None),
            ("1e3", None),
            ("1.2.3", None),
            ("Mi", None),
            ("1mi", None),
            ("1 Mi", None),
            ("0.0000001", None),
            ("9999999999999999999999999999999999999999", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
