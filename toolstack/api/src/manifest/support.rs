//! What stands in a manifest and not in the table of fields is refused by name.
//!
//! A field that is null, an empty text or list, or an object of such fields, asks for nothing and is let through, unless that it is there
//! says which kind of thing is meant: `hostPath: {}`.

use serde_yaml::Value;

use super::fields::{self, Accepts, canonical};
use super::schema::{self, Kind, Node};
use super::{Problem, ProblemKind};

/// Where one of several keys says which kind of thing is meant, by being there.
const KINDS: [&str; 5] = [
    "spec.volumes[]",
    "spec.volumes[].projected.sources[]",
    "spec.containers[].env[].valueFrom",
    "spec.containers[].livenessProbe",
    "spec.containers[].lifecycle.preStop",
];

/// Every field of `pod` that is not in the table.
pub(super) fn unsupported(pod: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    walk(pod, Some(schema::pod()), "", "", &mut problems);
    problems
}

/// The same of one container.
pub(super) fn unsupported_in_container(container: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    walk(container, schema::container(), "", "spec.containers[]", &mut problems);
    problems
}

fn walk(value: &Value, node: Option<&Node>, path: &str, pattern: &str, problems: &mut Vec<Problem>) {
    let mut refuse = |text: String| {
        problems.push(Problem { path: path.into(), line: None, kind: ProblemKind::Unsupported, text });
    };
    let in_table = canonical(pattern);
    match fields::find(&in_table).map(|f| f.accepts) {
        Some(Accepts::Any) => return,
        Some(Accepts::Only(want)) => {
            let have = scalar(value);
            if !is_nothing(value, node) && have.as_deref() != Some(want) {
                refuse(format!("is not supported unless it is {want}; remove it: {}", fields::why_only(&in_table)));
            }
            return;
        }
        Some(Accepts::Below) | None => {}
    }
    let known_below = pattern.is_empty()
        || fields::all().any(|f| f.path.strip_prefix(in_table.as_str()).is_some_and(|r| r.starts_with(['.', '['])));
    if !known_below {
        let is_kind = value.is_mapping() && in_table.rsplit_once('.').is_some_and(|(of, _)| KINDS.contains(&of));
        if is_kind || !is_nothing(value, node) {
            refuse(match fields::why(&in_table) {
                Some(why) => format!("is not supported; remove it: {why}"),
                None => "is not supported; remove it".into(),
            });
        }
        return;
    }
    match value {
        Value::Mapping(map) => {
            for (key, below) in map {
                let Some(key) = scalar(key) else { continue };
                let join = |above: &str| if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
                walk(below, node.and_then(|n| n.field(&key)), &join(path), &join(pattern), problems);
            }
        }
        Value::Sequence(items) => {
            for (i, below) in items.iter().enumerate() {
                walk(below, node, &format!("{path}[{i}]"), &format!("{pattern}[]"), problems);
            }
        }
        // A scalar where a mapping belongs: the typed parse says so better.
        _ => {}
    }
}

/// Whether it asks for nothing: what Kubernetes itself takes for not given. A map says something with every name in it.
fn is_nothing(value: &Value, node: Option<&Node>) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Sequence(items) => items.is_empty(),
        Value::Mapping(map) if node.is_some_and(|n| n.kind == Kind::Map) => map.is_empty(),
        Value::Mapping(map) => {
            map.iter().all(|(name, below)| is_nothing(below, name.as_str().and_then(|name| node?.field(name))))
        }
        _ => false,
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(s) => Some(s.clone()),
        Value::Bool(b) => Some(b.to_string()),
        Value::Number(n) => Some(n.to_string()),
        _ => None,
    }
}
