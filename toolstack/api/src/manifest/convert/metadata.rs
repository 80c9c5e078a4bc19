//! What is said of a pod: its name, labels and annotations, by Kubernetes' own rules.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;

use super::{Report, is_label, label_text};

/// All annotations together, in bytes (`TotalAnnotationSizeLimitB`, apimachinery/pkg/api/validation/objectmeta.go).
const ANNOTATIONS_BYTES: usize = 256 << 10;

/// Whether a pod may be called that.
///
/// # Errors
/// Why not.
pub fn check_pod_name(name: &str) -> Result<(), String> {
    if !name.split('.').all(is_label) || name.len() > 63 {
        return Err(label_text(name));
    }
    if name.parse::<crate::ids::PodId>().is_ok() {
        return Err(format!("{name:?} has the form of an id; choose another"));
    }
    Ok(())
}

/// Whether these can be a pod's labels.
///
/// # Errors
/// Which cannot, and why.
pub fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), String> {
    labels.iter().try_for_each(|(key, value)| check_label(key, value))
}

fn check_label(key: &str, value: &str) -> Result<(), String> {
    check_key("label", key)?;
    if !value.is_empty() && !is_word(value) {
        return Err(format!(
            "label {key}: {value:?} is not a label's value: at most 63 letters, digits, '-', '_' and '.', starting and ending with a \
             letter or digit, or nothing"
        ));
    }
    Ok(())
}

/// Each that cannot be, at its own place.
pub(super) fn report(pod: &core::Pod, report: &mut Report<'_>) {
    for (key, value) in pod.metadata.labels.iter().flatten() {
        if let Err(why) = check_label(key, value) {
            report.invalid(format!("metadata.labels.{key}"), why);
        }
    }
    let Some(annotations) = &pod.metadata.annotations else { return };
    let mut keys = true;
    for key in annotations.keys() {
        if let Err(why) = check_key("annotation", key) {
            report.invalid(format!("metadata.annotations.{key}"), why);
            keys = false;
        }
    }
    if let Err(why) = check_annotations(annotations).or_else(|why| if keys { Err(why) } else { Ok(()) }) {
        report.invalid("metadata.annotations", why);
    }
}

/// Whether these can be a pod's annotations.
///
/// # Errors
/// Which cannot, and why.
pub fn check_annotations(annotations: &BTreeMap<String, String>) -> Result<(), String> {
    annotations.keys().try_for_each(|key| check_key("annotation", key))?;
    let bytes: usize = annotations.iter().map(|(k, v)| k.len() + v.len()).sum();
    if bytes > ANNOTATIONS_BYTES {
        return Err(format!("annotations have {bytes} bytes together; the limit is {ANNOTATIONS_BYTES}"));
    }
    Ok(())
}

/// A qualified name: a word, perhaps after a DNS subdomain and a slash.
fn check_key(what: &str, key: &str) -> Result<(), String> {
    let (prefix, word) = key.split_once('/').map_or((None, key), |(prefix, word)| (Some(prefix), word));
    let prefix_ok = |p: &str| p.len() <= 253 && p.split('.').all(is_label);
    if is_word(word) && prefix.is_none_or(prefix_ok) {
        return Ok(());
    }
    Err(format!(
        "{what} {key:?} is not a key: at most 63 letters, digits, '-', '_' and '.', starting and ending with a letter or digit, perhaps \
         after a domain name and '/'"
    ))
}

fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && bytes[0].is_ascii_alphanumeric()
        && bytes[bytes.len() - 1].is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(key: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(key.to_owned(), value.to_owned())])
    }

    #[test]
    fn labels_are_words_and_keys_may_have_a_domain() {
        for (key, value) in [("app", "web"), ("app.kubernetes.io/name", ""), ("a_b", "1.2-x"), ("A", "B")] {
            assert_eq!(check_labels(&of(key, value)), Ok(()), "{key}={value}");
        }
        let long = "a".repeat(64);
        for (key, value) in [
            ("", "x"),
            ("a b", "x"),
            ("/a", "x"),
            ("a/", "x"),
            ("a/b/c", "x"),
            ("UP/a", "x"),
            ("-a", "x"),
            (&long, "x"),
        ] {
            let why = check_labels(&of(key, value)).unwrap_err();
            assert!(why.contains(&format!("label {key:?} is not a key")), "{why}");
            assert!(check_annotations(&of(key, value)).is_err(), "{key}");
        }
        for value in ["a b", "-a", "a-", long.as_str()] {
            assert!(check_labels(&of("app", value)).unwrap_err().starts_with("label app: "), "{value}");
            assert_eq!(check_annotations(&of("app", value)), Ok(()), "anything is said in an annotation");
        }
        assert!(check_annotations(&of("a", &"x".repeat(ANNOTATIONS_BYTES))).unwrap_err().contains("262145 bytes"));
    }

    #[test]
    fn names_are_labels_and_no_ids() {
        assert_eq!(check_pod_name("web-1.example"), Ok(()));
        for bad in ["", "Web", "a_b", "a..b", "f8f24618-c9d4-829b-80bc-357c96c9e1dd"] {
            assert!(check_pod_name(bad).is_err(), "{bad}");
        }
    }
}
