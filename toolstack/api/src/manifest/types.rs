//! Values of another type than Kubernetes gives the field: each is told with its place, and what to write instead.
//!
//! What Kubernetes takes for the right type is made so on the way: a number that is a quantity, a mode of base 8, a key that is a number.

use serde_yaml::{Mapping, Value};

use super::schema::{Kind, Node};
use super::{Problem, ProblemKind};

/// The most characters of a value that are repeated.
const QUOTED: usize = 40;

/// Checks what stands at `path`. What is of the wrong type is taken out of `value`.
pub(super) fn check(value: &mut Value, node: &Node, path: &str, problems: &mut Vec<Problem>) {
    match value {
        _ if !node.list => one(value, node, path, problems),
        Value::Null => {}
        Value::Sequence(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                one(item, node, &format!("{path}[{i}]"), problems);
                if item.is_null() {
                    *item = nothing(node);
                }
            }
        }
        other => {
            wrong(other, node, true, path, problems);
            *other = Value::Null;
        }
    }
}

/// The same of one element.
pub(super) fn one(value: &mut Value, node: &Node, path: &str, problems: &mut Vec<Problem>) {
    octal(value, path);
    match (node.kind, &mut *value) {
        (_, Value::Null) => {}
        // Anything may stand in it.
        (Kind::Object, _) if node.fields.is_empty() => {}
        (Kind::Object | Kind::Map, Value::Mapping(map)) => {
            names(map, path, problems);
            for (name, below) in map.iter_mut() {
                let Some(name) = name.as_str() else { continue };
                // A name that there is not is told by who deserialises.
                let Some(of) = node.field(name) else { continue };
                let at = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                check(below, of, &at, problems);
                if node.kind == Kind::Map && below.is_null() {
                    *below = nothing(of);
                }
            }
        }
        (Kind::String | Kind::Quantity | Kind::IntegerOrString, Value::String(_)) => {}
        (Kind::Boolean, Value::Bool(_)) => {}
        // Kubernetes takes `cpu: 1` for `cpu: "1"`; `k8s_openapi::…::Quantity` only takes the string.
        (Kind::Quantity, Value::Number(number)) => *value = Value::String(number.to_string()),
        (Kind::Integer, Value::Number(number)) if number.is_i64() => {}
        (Kind::Integer32 | Kind::IntegerOrString, Value::Number(number))
            if number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) => {}
        // A server writes it; that it stands there has been refused.
        (Kind::Time, _) => *value = Value::Null,
        (_, other) => {
            wrong(other, node, false, path, problems);
            *other = Value::Null;
        }
    }
}

/// What null is in a list or map, as in Kubernetes.
fn nothing(node: &Node) -> Value {
    match node.kind {
        Kind::Object | Kind::Map => Value::Mapping(Mapping::new()),
        Kind::String | Kind::Time => "".into(),
        Kind::Integer | Kind::Integer32 | Kind::IntegerOrString => 0.into(),
        Kind::Boolean => false.into(),
        Kind::Quantity => "0".into(),
    }
}

/// Kubernetes reads YAML 1.1, where `0400` is a number of base 8; YAML 1.2 takes it for a text.
fn octal(value: &mut Value, path: &str) {
    let mode = path.ends_with(".mode") || path.ends_with(".defaultMode");
    let digits = value.as_str().filter(|_| mode).and_then(|text| text.strip_prefix('0'));
    if let Some(mode) = digits.and_then(|digits| i32::from_str_radix(digits, 8).ok()) {
        *value = mode.into();
    }
}

/// Names that are numbers or booleans are texts to Kubernetes.
fn names(map: &mut Mapping, path: &str, problems: &mut Vec<Problem>) {
    if map.keys().all(Value::is_string) {
        return;
    }
    for (name, value) in std::mem::take(map) {
        let text = match &name {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(bool) => bool.to_string(),
            other => {
                let text = format!("has {} for a name; a name is a text", said(other));
                problems.push(Problem { path: path.into(), line: None, kind: ProblemKind::Invalid, text });
                continue;
            }
        };
        if map.insert(text.as_str().into(), value).is_some() {
            let text = format!("has the name {text:?} twice; leave one");
            problems.push(Problem { path: path.into(), line: None, kind: ProblemKind::Invalid, text });
        }
    }
}

fn wrong(value: &Value, node: &Node, list: bool, path: &str, problems: &mut Vec<Problem>) {
    let words = Node { list, ..node.clone() }.words();
    let article = if words.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    let text = format!("is {} where {article} {words} belongs; {}", said(value), instead(value, node, list));
    problems.push(Problem { path: path.into(), line: None, kind: ProblemKind::Invalid, text });
}

/// The value, in words.
fn said(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(bool) => format!("the boolean {bool}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the string {}", quoted(text)),
        Value::Sequence(_) => "a list".into(),
        Value::Mapping(_) => "an object".into(),
        Value::Tagged(tagged) => format!("tagged {}", tagged.tag),
    }
}

fn quoted(text: &str) -> String {
    if text.chars().count() <= QUOTED {
        return format!("{text:?}");
    }
    format!("{:?}…", text.chars().take(QUOTED).collect::<String>())
}

/// What to do.
fn instead(value: &Value, node: &Node, list: bool) -> String {
    let object = matches!(node.kind, Kind::Object | Kind::Map);
    match value {
        Value::Tagged(_) => "write it without the tag".into(),
        Value::Mapping(_) if list && object => "begin each of its elements with \"- \"".into(),
        Value::String(text) if list && text.len() <= QUOTED => format!("write [{text:?}]"),
        _ if list => "write its elements in brackets, or each on a line that begins with \"- \"".into(),
        Value::Number(_) | Value::Bool(_) if node.kind == Kind::String => {
            format!("quote it: \"{}\"", serde_yaml::to_string(value).unwrap_or_default().trim())
        }
        Value::String(text) if node.kind == Kind::Boolean => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" => "write true, without quotes".into(),
            "false" | "no" | "off" | "n" => "write false, without quotes".into(),
            _ => "give true or false".into(),
        },
        Value::String(text) if text.parse::<i32>().is_ok() && !object => format!("write {text}, without quotes"),
        Value::Sequence(_) if !object => "give one, without brackets".into(),
        _ => match node.kind {
            Kind::Object => "give its fields, each as `name: value`".into(),
            Kind::Map => "give names with their values, each as `name: value`".into(),
            Kind::Integer => "give a whole number".into(),
            Kind::Integer32 => "give a whole number, -2147483648 to 2147483647".into(),
            Kind::IntegerOrString => "give a whole number, or a text".into(),
            Kind::Boolean => "give true or false".into(),
            Kind::Quantity => "give a number, with a suffix or without".into(),
            Kind::String | Kind::Time => "give a text".into(),
        },
    }
}

#[cfg(test)]
#[path = "types_tests.rs"]
mod tests;
