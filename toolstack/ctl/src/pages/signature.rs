//! D-Bus types in words.

/// What a type is, such as `list of (text, object path)` for `a(so)`; the type itself when it is none that is known.
pub fn words(signature: &str) -> String {
    let mut rest = signature;
    match one(&mut rest) {
        Some(words) if rest.is_empty() => words,
        _ => signature.into(),
    }
}

/// The first complete type.
fn one(rest: &mut &str) -> Option<String> {
    let mut letters = rest.chars();
    let first = letters.next()?;
    *rest = letters.as_str();
    let simple = match first {
        'y' => "byte",
        'b' => "true or false",
        'n' => "16-bit integer",
        'q' => "16-bit unsigned integer",
        'i' => "32-bit integer",
        'u' => "32-bit unsigned integer",
        'x' => "64-bit integer",
        't' => "64-bit unsigned integer",
        'd' => "number",
        's' => "text",
        'o' => "object path",
        'g' => "signature",
        'h' => "file descriptor",
        'v' => "value of any type",
        'a' if rest.starts_with('{') => {
            *rest = &rest[1..];
            let (key, value) = (one(rest)?, one(rest)?);
            *rest = rest.strip_prefix('}')?;
            return Some(format!("mapping of {key} to {value}"));
        }
        'a' => return Some(format!("list of {}", one(rest)?)),
        '(' => {
            let mut parts = Vec::new();
            while !rest.starts_with(')') {
                parts.push(one(rest)?);
            }
            *rest = &rest[1..];
            return Some(format!("({})", parts.join(", ")));
        }
        _ => return None,
    };
    Some(simple.into())
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn types_in_words() {
        for (signature, want) in [
            ("as", "list of text"),
            ("a{sv}", "mapping of text to value of any type"),
            ("a(sasto)", "list of (text, list of text, 64-bit unsigned integer, object path)"),
            ("a{sa{sh}}", "mapping of text to mapping of text to file descriptor"),
            ("a{s", "a{s"),
            ("(s", "(s"),
            ("ss", "ss"),
        ] {
            assert_eq!(words(signature), want);
        }
    }
}
