//! `xenpodctl explain`: what xenpod does with a field of a manifest. It asks nobody.

use std::process::ExitCode;

use xenpod_api::manifest::explain::{Entry, Standing, explain};

use crate::cli::Explain;
use crate::failure::Failure;

/// The width that texts are broken at.
const WIDTH: usize = 100;

/// Explains a field.
pub fn run(args: &Explain, json: bool) -> Result<ExitCode, Failure> {
    let mut entry = explain(&args.field).map_err(|e| Failure::Usage(e.to_string()))?;
    if json {
        if !args.recursive {
            entry.fields.iter_mut().for_each(|e| e.fields.clear());
        }
        let value = serde_json::to_value(&entry).map_err(|e| Failure::Usage(e.to_string()))?;
        crate::json::print(&value);
    } else {
        print!("{}", render(&entry, args.recursive));
    }
    Ok(ExitCode::SUCCESS)
}

/// In the manner of `kubectl explain`.
fn render(entry: &Entry, recursive: bool) -> String {
    let mut out = format!("FIELD: {} <{}>\n\nDESCRIPTION:\n", entry.path, plain(&entry.kind));
    out.push_str(&wrapped(&said(entry), 4));
    let (refused, taken): (Vec<&Entry>, Vec<&Entry>) = entry.fields.iter().partition(|e| e.refused());
    if !taken.is_empty() {
        out.push_str("\nFIELDS:\n");
        if recursive {
            tree(entry, 4, &mut out);
        } else {
            for field in taken {
                out.push_str(&format!("    {} <{}>\n", field.name(), plain(&field.kind)));
                out.push_str(&wrapped(&said(field), 8));
            }
        }
    }
    if !refused.is_empty() && !recursive {
        out.push_str("\nREFUSED:\n");
        let names: Vec<&str> = refused.iter().map(|e| e.name()).collect();
        out.push_str(&wrapped(&names.join(", "), 4));
    }
    out
}

/// Names and types of what is not refused.
fn tree(entry: &Entry, indent: usize, out: &mut String) {
    for field in entry.fields.iter().filter(|e| !e.refused()) {
        out.push_str(&format!("{:indent$}{} <{}>\n", "", field.name(), plain(&field.kind)));
        tree(field, indent + 4, out);
    }
}

/// All that is said of a field, in one paragraph.
fn said(entry: &Entry) -> String {
    let text = plain(&entry.text);
    match &entry.standing {
        Standing::Refused(why) => format!("xenpod refuses it: {}.", plain(why)),
        Standing::Only(value) => format!("Only {value}. {text}"),
        Standing::Supported if entry.default.is_empty() => text,
        Standing::Supported => format!("{text} Without it: {}.", plain(&entry.default)),
    }
}

/// Without the marks of what is to be typed.
fn plain(text: &str) -> String {
    text.replace('`', "")
}

fn wrapped(text: &str, indent: usize) -> String {
    let mut out = String::new();
    let mut width = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if width == 0 || width + 1 + length > WIDTH {
            out.push_str(if width == 0 { "" } else { "\n" });
            out.push_str(&format!("{:indent$}{word}", ""));
            width = indent + length;
        } else {
            out.push_str(&format!(" {word}"));
            width += 1 + length;
        }
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_with_what_is_below_it() {
        let text = render(&explain("spec.containers.volumeMounts").unwrap(), false);
        assert!(text.starts_with(
            "FIELD: spec.containers[].volumeMounts[] <list of objects>\n\nDESCRIPTION:\n    Volumes that it sees.\n"
        ));
        assert!(
            text.contains("\n    readOnly <boolean>\n        It cannot write to it. Without it: false.\n"),
            "{text}"
        );
        assert!(text.contains("        Only None. Mounts are not passed on.\n"), "{text}");
        assert!(text.ends_with("\nREFUSED:\n    bindMountOptions, subPathExpr\n"), "{text}");
        assert!(text.lines().all(|l| l.chars().count() <= WIDTH));
        let tree = render(&explain("spec.volumes").unwrap(), true);
        assert!(tree.contains("\n    emptyDir <object>\n        medium <string>\n"), "{tree}");
        assert!(!tree.contains("hostPath"));
    }

    #[test]
    fn a_field_that_is_refused() {
        let text = render(&explain("nodeName").unwrap(), false);
        let why = "xenpod refuses it: there is one host, and nothing to choose it by.";
        assert_eq!(text, format!("FIELD: spec.nodeName <string>\n\nDESCRIPTION:\n    {why}\n"));
    }
}
