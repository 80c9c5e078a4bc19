use std::collections::BTreeSet;

use serde_yaml::{Mapping, Value};

use super::*;
use crate::manifest::schema::{self, Kind, Node};
use crate::manifest::{explain, support};

/// Every field that a value can be given for, as the table writes it, with a value of its type.
fn leaves(node: &Node, path: String, found: &mut Vec<(String, Value)>) {
    let value: Value = match node.kind {
        Kind::Object if !node.fields.is_empty() => {
            let path = if node.list { format!("{path}[]") } else { path };
            let join = |name: &str| if path.is_empty() { name.into() } else { format!("{path}.{name}") };
            return node.fields.iter().for_each(|(name, below)| leaves(below, join(name), found));
        }
        Kind::Object => Mapping::from_iter([("x".into(), "y".into())]).into(),
        Kind::Map => {
            // Whatever keys the table has, and one that it has not.
            let below: Vec<&str> =
                all().filter_map(|f| f.path.strip_prefix(canonical(&path).as_str())?.strip_prefix('.')).collect();
            if !below.is_empty() {
                let keys = below.into_iter().chain(["other"]);
                return found.extend(keys.map(|key| (format!("{path}.{key}"), "1".into())));
            }
            Mapping::from_iter([("x".into(), "y".into())]).into()
        }
        Kind::Integer | Kind::Integer32 => 77.into(),
        Kind::Boolean => true.into(),
        _ => "neither".into(),
    };
    let list = node.list.then(|| Value::Sequence(vec![value.clone()]));
    found.push((path, list.unwrap_or(value)));
}

/// A manifest that has nothing but that field.
fn nested(path: &str, value: Value) -> Value {
    path.rsplit('.').fold(value, |below, name| {
        let (name, below) = match name.strip_suffix("[]") {
            Some(name) => (name, Value::Sequence(vec![below])),
            None => (name, below),
        };
        Mapping::from_iter([(name.into(), below)]).into()
    })
}

#[test]
fn every_field_that_is_let_through_is_in_the_table_and_no_other() {
    let mut known = Vec::new();
    leaves(schema::pod(), String::new(), &mut known);
    assert!(known.len() > 700, "{} fields", known.len());
    let mut met = BTreeSet::new();
    for (path, value) in known {
        let problems = support::unsupported(&nested(&path, value));
        let listed = canonical(&path);
        let whole =
            |f: &&Field| f.accepts == Accepts::Any && listed.strip_prefix(f.path).is_some_and(|r| r.starts_with('.'));
        let entry = find(&listed).or_else(|| all().find(whole));
        match entry.map(|f| f.accepts) {
            Some(Accepts::Any) => assert!(problems.is_empty(), "{path}: {problems:?}"),
            Some(Accepts::Only(value)) => {
                assert!(problems[0].text.contains(&format!("unless it is {value}")), "{path}: {problems:?}");
                let value = if value == "false" { false.into() } else { Value::from(value) };
                assert!(support::unsupported(&nested(&path, value)).is_empty(), "{path}");
            }
            Some(Accepts::Below) => panic!("{path} has nothing below it"),
            None => assert_eq!(problems.len(), 1, "{path} is let through and is not in the table"),
        }
        met.insert(listed);
    }
    for field in all() {
        let stands = match field.accepts {
            Accepts::Only(_) => met.contains(field.path),
            _ => {
                met.contains(field.path)
                    || met.iter().any(|p| p.strip_prefix(field.path).is_some_and(|r| r.starts_with('.')))
            }
        };
        assert!(stands, "Kubernetes has no field {}", field.path);
    }
}

#[test]
fn every_field_has_its_text_and_what_is_refused_its_reason() {
    let sentence = |text: &str| text.ends_with('.') && text.matches('`').count().is_multiple_of(2);
    let mut paths = BTreeSet::new();
    for field in all() {
        assert!(paths.insert(field.path), "{} stands twice", field.path);
        assert!(sentence(field.text), "{}: {:?}", field.path, field.text);
    }
    for annotation in ANNOTATIONS {
        assert!(
            sentence(annotation.text) && !annotation.kind.is_empty() && !annotation.default.is_empty(),
            "{annotation:?}"
        );
    }
    fn walk(entry: &explain::Entry) {
        if let explain::Standing::Refused(why) = &entry.standing {
            assert_ne!(why, "xenpod does not act on it", "{}", entry.path);
        } else {
            assert!(!entry.text.is_empty(), "{}", entry.path);
        }
        entry.fields.iter().for_each(walk);
    }
    walk(explain::pod());
}

#[test]
fn every_annotation_is_read() {
    for annotation in ANNOTATIONS {
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p, annotations: {{{}: \"?\"}}}}\nspec: {{containers: [{{name: c, image: i}}]}}\n",
            annotation.name
        );
        let said = crate::manifest::parse(&text).unwrap_err().to_string();
        assert!(said.contains(&format!("metadata.annotations.{}: ", annotation.name)), "{said}");
        assert!(!said.contains("there is no such annotation"), "{said}");
    }
}
