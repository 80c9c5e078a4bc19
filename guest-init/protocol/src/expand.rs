//! `$(NAME)` in commands, arguments and environment values, as Kubernetes expands it
//! (`k8s.io/kubernetes/third_party/forked/golang/expansion`): `$$` is a dollar sign, and a name that is not known stays as it is.
//!
//! The daemon does this with what a manifest says; the guest with values that only it knows.

/// Expands `text` with the variables that `env` holds so far.
#[must_use]
pub fn expand(text: &str, env: &[(String, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('(') {
            let Some(end) = inner.find(')') else {
                out.push_str("$(");
                rest = inner;
                continue;
            };
            let name = &inner[..end];
            match env.iter().rev().find(|(n, _)| n == name) {
                Some((_, value)) => out.push_str(value),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = &inner[end + 1..];
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn expansion_is_that_of_kubernetes() {
        let env = [("A".to_string(), "1".to_string()), ("B".into(), "$(A)".into()), ("A".into(), "2".into())];
        for (text, want) in [
            ("$(A)", "2"),
            ("x$(A)y$(B)z", "x2y$(A)z"),
            ("$$(A)", "$(A)"),
            ("$(NONE)-", "$(NONE)-"),
            ("$(A", "$(A"),
            ("$", "$"),
            ("a$b", "a$b"),
            ("$()", "$()"),
            ("$$$(A)", "$2"),
        ] {
            assert_eq!(expand(text, &env), want, "{text}");
        }
    }
}
