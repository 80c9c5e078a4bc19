//! xenpod-manifest(5), from the table of fields.

use clap_mangen::roff::{Roff, bold, roman};
use xenpod_api::manifest::explain::{Entry, Standing, pod};

use super::markup::{self, inline};
use super::{Page, pages};

/// What stands before and after the fields.
const BEFORE: &str = include_str!("manifest-before.md");
const AFTER: &str = include_str!("manifest-after.md");

/// Fields that have a section of their own; what stands below them belongs there.
const SECTIONS: [&str; 9] = [
    "pod",
    "metadata",
    "metadata.annotations",
    "spec",
    "spec.securityContext",
    "spec.containers[]",
    "spec.containers[].securityContext",
    "spec.containers[].livenessProbe",
    "spec.volumes[]",
];

/// What is said of others, and not again.
const AS: [(&str, &str); 4] = [
    ("spec.initContainers[]", "spec.containers[]"),
    ("spec.containers[].startupProbe", "spec.containers[].livenessProbe"),
    ("spec.containers[].readinessProbe", "spec.containers[].livenessProbe"),
    ("spec.containers[].lifecycle.postStart", "spec.containers[].lifecycle.preStop"),
];

/// The page.
pub fn page() -> Page {
    let mut body = Roff::new();
    markup::render(BEFORE, &mut body);
    body.control("SH", ["FIELDS"]);
    body.text(inline("Types are those of Kubernetes; `[]` stands for each element of a list. xenpodctl-explain(1) says the same of one field."));
    for path in SECTIONS {
        let Some(section) = find(pod(), path) else { continue };
        let title = if path == "metadata.annotations" { "annotations of xenpod" } else { path };
        body.control("SS", [title]).text(inline(&section.text));
        fields(section, section, &mut body);
    }
    refused(&mut body);
    markup::render(AFTER, &mut body);
    Page {
        name: "xenpod-manifest".into(),
        section: 5,
        about: "the pod manifest, and what of it xenpod acts on".into(),
        body,
        see_also: pages(&[
            "xenpodctl-explain(1)",
            "xenpodctl(1)",
            "org.xenpod1.Manager(5)",
            "xenpodd.yaml(5)",
            "xenpodd(8)",
        ]),
    }
}

fn find<'a>(entry: &'a Entry, path: &str) -> Option<&'a Entry> {
    if entry.path == path { Some(entry) } else { entry.fields.iter().find_map(|e| find(e, path)) }
}

/// What stands below `of`, as paths within `section`.
fn fields(of: &Entry, section: &Entry, body: &mut Roff) {
    for field in of.fields.iter().filter(|f| !f.refused()) {
        let path = field.path.strip_prefix(&section.path).map_or(field.path.as_str(), |p| p.trim_start_matches('.'));
        body.control("TP", []).text([bold(path), roman(format!(" ({})", field.kind.replace('`', "")))]);
        let elsewhere = AS.iter().find(|(this, _)| *this == field.path).map(|(_, other)| *other);
        if let Some(other) = elsewhere {
            body.text(inline(&format!("As `{other}`.")));
            continue;
        }
        let mut text = match &field.standing {
            Standing::Only(value) => format!("Only `{value}`. {}", field.text),
            _ => field.text.clone(),
        };
        if SECTIONS.contains(&field.path.as_str()) {
            text = "See below.".into();
        } else if !field.default.is_empty() && field.standing == Standing::Supported {
            text.push_str(&format!(" Without it: {}.", field.default));
        }
        body.text(inline(&text));
        if !SECTIONS.contains(&field.path.as_str()) {
            fields(field, section, body);
        }
    }
}

/// What is refused, and why.
fn refused(body: &mut Roff) {
    body.control("SH", ["REFUSED FIELDS"]);
    fn walk(entry: &Entry, body: &mut Roff) {
        if let Standing::Refused(why) = &entry.standing {
            body.control("TP", []).text([bold(&entry.path)]).text(inline(&format!("{why}.")));
        } else if !AS.iter().any(|(this, _)| *this == entry.path) {
            entry.fields.iter().for_each(|e| walk(e, body));
        }
    }
    walk(pod(), body);
}
