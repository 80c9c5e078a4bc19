//! What can be said of a field: the table of fields and Kubernetes' types together.

use std::sync::LazyLock;

use serde::Serialize;

use super::fields::{self, Accepts, canonical};
use super::schema::{self, Kind, Node};

/// What xenpod does with a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It acts on it.
    Supported,
    /// It takes this value only.
    Only(String),
    /// It refuses it, for this reason.
    Refused(String),
}

/// A field, and those below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Where it stands in a manifest, elements of lists as `[]`; `pod` for all of it.
    pub path: String,
    /// Its type, in words.
    #[serde(rename = "type")]
    pub kind: String,
    /// What xenpod does with it.
    pub standing: Standing,
    /// What it means.
    pub text: String,
    /// What holds without it; empty where nothing does.
    pub default: String,
    /// What stands below it, refused fields included.
    pub fields: Vec<Entry>,
}

impl Entry {
    /// The last part of its path.
    #[must_use]
    pub fn name(&self) -> &str {
        let end = self.path.trim_end_matches("[]");
        match self.path.find(fields::PREFIX) {
            Some(at) => &self.path[at..],
            None => end.rsplit('.').next().unwrap_or(end),
        }
    }

    /// Whether it is refused.
    #[must_use]
    pub fn refused(&self) -> bool {
        matches!(self.standing, Standing::Refused(_))
    }
}

/// There is no such field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pod has no field {asked:?}{}", list(.near))]
pub struct NoSuchField {
    /// What was asked for.
    pub asked: String,
    /// What may have been meant: paths, the nearest first.
    pub near: Vec<String>,
}

fn list(paths: &[String]) -> String {
    if paths.is_empty() {
        return "; `xenpodctl explain pod --recursive` lists all".into();
    }
    format!("; there are {}", paths.join(", "))
}

/// The whole Pod.
pub fn pod() -> &'static Entry {
    static POD: LazyLock<Entry> = LazyLock::new(whole);
    &POD
}

fn whole() -> Entry {
    let fields = schema::pod().fields.iter().map(|(name, node)| entry((*name).into(), node)).collect();
    Entry {
        path: "pod".into(),
        kind: "object".into(),
        standing: Standing::Supported,
        text: "A Kubernetes core/v1 Pod, as far as xenpod acts on it. Everything else is refused by name.".into(),
        default: String::new(),
        fields,
    }
}

fn entry(path: String, node: &Node) -> Entry {
    let in_table = canonical(&path);
    let list = node.list && matches!(node.kind, Kind::Object | Kind::Map);
    let (path, in_table) = if list { (format!("{path}[]"), format!("{in_table}[]")) } else { (path, in_table) };
    let found = fields::find(&in_table);
    let mut entry = Entry {
        path,
        kind: node.words(),
        standing: Standing::Supported,
        text: found.map_or("", |f| f.text).into(),
        default: found.map_or("", |f| f.default).into(),
        fields: Vec::new(),
    };
    match found.map(|f| f.accepts) {
        None => {
            let why = fields::why(&in_table).unwrap_or("xenpod does not act on it");
            entry.standing = Standing::Refused(why.into());
        }
        Some(Accepts::Only(value)) => entry.standing = Standing::Only(value.into()),
        Some(Accepts::Any) if in_table == "metadata.annotations" => {
            entry.fields = fields::ANNOTATIONS.iter().map(annotation).collect();
        }
        Some(Accepts::Any) => {}
        Some(Accepts::Below) => {
            let own = |name: &str| format!("{}.{name}", entry.path);
            entry.fields = match (node.kind, node.fields.first()) {
                // Its keys are those of the table.
                (Kind::Map, Some((_, value))) => fields::all()
                    .filter_map(|f| f.path.strip_prefix(in_table.as_str())?.strip_prefix('.'))
                    .map(|name| self::entry(own(name), value))
                    .collect(),
                _ => node.fields.iter().map(|(name, node)| self::entry(own(name), node)).collect(),
            };
        }
    }
    entry
}

fn annotation(of: &fields::Annotation) -> Entry {
    Entry {
        path: format!("metadata.annotations.{}", of.name),
        kind: of.kind.into(),
        standing: Standing::Supported,
        text: of.text.into(),
        default: of.default.into(),
        fields: Vec::new(),
    }
}

/// Finds what is asked for: a path such as `spec.containers[].env`, with or without brackets, `pod.` before it or `spec.` in it;
/// each name may be cut short where that is enough to tell; an annotation by its name. What stands in something that is refused, or taken as
/// a whole, is explained with it.
///
/// # Errors
/// There is nothing of that kind.
pub fn explain(asked: &str) -> Result<Entry, NoSuchField> {
    let pod = pod();
    let all = flat(pod);
    if let Some(at) = asked.find(fields::PREFIX) {
        let found = all.iter().find(|e| e.name() == &asked[at..]);
        return found.map(|e| (*e).clone()).ok_or_else(|| no_such(asked, &asked[at..], &all));
    }
    let mut names: Vec<&str> =
        asked.split('.').map(|n| n.split('[').next().unwrap_or(n)).filter(|n| !n.is_empty()).collect();
    if names.first().is_some_and(|first| ["pod", "pods", "po"].contains(first)) {
        names.remove(0);
    }
    let roots = [&[][..], &["spec"], &["spec", "containers"], &["metadata"]];
    let paths = || roots.into_iter().map(|root| root.iter().chain(&names).copied());
    let found = paths().find_map(|mut path| path.try_fold(pod, below));
    let inside =
        || paths().find_map(|mut path| path.try_fold((pod, Some(schema::pod())), within)).map(|(entry, _)| entry);
    if let Some(found) = found.or_else(inside) {
        return Ok(found.clone());
    }
    Err(no_such(asked, names.last().copied().unwrap_or_default(), &all))
}

/// The entry for a field of another, by its name, and its type where that has fields.
fn within<'a>((entry, node): (&'a Entry, Option<&'a Node>), name: &str) -> Option<(&'a Entry, Option<&'a Node>)> {
    if let Some(found) = below(entry, name) {
        return Some((found, node.and_then(|n| n.field(found.name().trim_end_matches("[]")))));
    }
    let inside = node.filter(|n| entry.fields.is_empty() && n.kind == Kind::Object)?.field(name)?;
    Some((entry, Some(inside)))
}

/// The field of that name, or the only one that begins so; those that are supported count more.
fn below<'a>(entry: &'a Entry, name: &str) -> Option<&'a Entry> {
    let is = |e: &&Entry| e.name() == name;
    let alike = |e: &&Entry| e.name().eq_ignore_ascii_case(name);
    let begins = |e: &&Entry| e.name().to_ascii_lowercase().starts_with(&name.to_ascii_lowercase());
    let only = |supported: bool| {
        let mut found = entry.fields.iter().filter(|e| !supported || !e.refused()).filter(begins);
        found.next().filter(|_| found.next().is_none())
    };
    let fields = || entry.fields.iter();
    fields().find(is).or_else(|| fields().find(alike)).or_else(|| only(true)).or_else(|| only(false))
}

/// An entry and all below it.
fn flat(entry: &Entry) -> Vec<&Entry> {
    let mut all = vec![entry];
    all.extend(entry.fields.iter().flat_map(flat));
    all
}

fn no_such(asked: &str, name: &str, all: &[&Entry]) -> NoSuchField {
    let name = name.to_ascii_lowercase();
    let mut near: Vec<(usize, usize, &str)> = all
        .iter()
        .map(|e| (strsim::damerau_levenshtein(&e.name().to_ascii_lowercase(), &name), e.path.len(), e.path.as_str()))
        .filter(|(distance, ..)| *distance <= 1 + name.len() / 4)
        .collect();
    near.sort_unstable();
    NoSuchField { asked: asked.into(), near: near.into_iter().take(5).map(|(.., path)| path.into()).collect() }
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
