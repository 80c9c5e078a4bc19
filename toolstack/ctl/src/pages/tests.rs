//! Every member, field and setting is in its page, and the pages are such that man(1) has nothing to say against them.

use std::path::PathBuf;

use super::interface::{Interface, Kind};
use super::*;
use xenpod_api::error::ErrorName;

/// The installed tree, in the sources.
fn sources() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../systemd"))
}

/// All pages by their file names.
fn all() -> Vec<(String, String)> {
    let out = tempfile::tempdir().unwrap();
    write(&sources(), out.path()).unwrap();
    let files = std::fs::read_dir(out.path()).unwrap().map(|f| f.unwrap().path());
    files.map(|p| (p.file_name().unwrap().to_str().unwrap().into(), std::fs::read_to_string(&p).unwrap())).collect()
}

/// A page without its macros and escapes: what a reader sees, roughly.
fn text(page: &str) -> String {
    let mut text = String::new();
    for line in page.lines() {
        text.push_str(line.strip_prefix(".SS ").or(line.strip_prefix(".SH ")).unwrap_or(line).trim_matches('"'));
        text.push('\n');
    }
    for (escape, seen) in
        [("\\fB", ""), ("\\fI", ""), ("\\fR", ""), ("\\&", ""), ("\\-", "-"), ("\\*(Aq", "'"), ("\\\\", "\\")]
    {
        text = text.replace(escape, seen);
    }
    text
}

fn files(folder: &str, ends: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir(sources().join(folder)).unwrap().map(|f| f.unwrap().path());
    all.filter(|p| p.to_str().unwrap().ends_with(ends)).collect()
}

#[test]
fn every_member_has_a_comment_and_stands_in_its_page() {
    let pages = all();
    let found = files("usr/share/dbus-1/interfaces", ".xml");
    assert!(found.len() >= 6);
    for file in found {
        let interface = Interface::parse(&std::fs::read_to_string(&file).unwrap()).unwrap();
        assert!(file.ends_with(format!("{}.xml", interface.name)), "{file:?} is of {}", interface.name);
        assert!(interface.comment.ends_with('.'), "{}", interface.name);
        let (_, page) = pages.iter().find(|(name, _)| *name == format!("{}.5", interface.name)).unwrap();
        let page = text(page);
        for member in &interface.members {
            let name = format!("{}.{}", interface.name, member.name);
            assert!(member.comment.ends_with('.'), "{name} has no comment that is a sentence: {:?}", member.comment);
            let heading = |l: &str| l == member.name || l.starts_with(&format!("{}(", member.name));
            assert!(page.lines().any(heading), "{name} has no section");
            let comment = member.comment.replace('`', "").replace(" Options: ", "\n.PP\nOptions: ");
            let comment = comment.replace(" Errors: ", "\n.PP\nErrors: ");
            assert!(page.contains(&comment), "{name}: {comment}");
            if member.kind == Kind::Property {
                assert!(page.contains(&format!("    readonly {} {};\n", member.signature, member.name)), "{name}");
            }
            for arg in &member.args {
                assert!(page.contains(&format!("{} {}", arg.signature, arg.name)), "{name} without {}", arg.name);
            }
            // What a method may fail with is a name that there is.
            for error in member.comment.split_once("Errors: ").map_or("", |(_, e)| e).split([' ', ',', '.']) {
                let known = ErrorName::ALL.iter().any(|n| n.as_str().ends_with(&format!(".{error}")));
                assert!(error.is_empty() || known, "{name}: there is no error {error}");
            }
        }
    }
}

#[test]
fn every_field_and_setting_stands_in_its_page() {
    use xenpod_api::manifest::{explain, fields};
    let pages = all();
    let page = |name: &str| text(&pages.iter().find(|(n, _)| n == name).unwrap().1);
    let manifest = page("xenpod-manifest.5");
    for field in fields::all() {
        assert!(manifest.contains(&field.text.replace('`', "")), "{}", field.path);
        assert!(manifest.contains(&field.default.replace('`', "")), "{}", field.path);
    }
    for annotation in fields::ANNOTATIONS {
        assert!(manifest.contains(&format!("\n{} (", annotation.name)), "{}", annotation.name);
        assert!(manifest.contains(&annotation.text.replace('`', "")), "{}", annotation.name);
    }
    assert!(manifest.contains("\nspec.nodeName\nthere is one host"));
    assert!(explain::explain("spec.nodeName").unwrap().refused());

    let config = page("xenpodd.yaml.5");
    let shipped = std::fs::read_to_string(sources().join("etc/xenpod/xenpodd.yaml")).unwrap();
    let settings = shipped.lines().filter_map(|l| l.strip_prefix('#')).filter(|l| {
        let indent = l.len() - l.trim_start().len();
        indent != 1 && indent != 3 && l.trim_start().starts_with(|c: char| c.is_ascii_lowercase())
    });
    for setting in settings {
        let setting = setting.trim().trim_end_matches(':');
        let stands = |l: &str| l == setting || l.ends_with(&format!(".{setting}"));
        assert!(config.lines().any(stands), "{setting} is not in xenpodd.yaml(5)");
    }
}

#[test]
fn pages_are_clean() {
    let pages = all();
    let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
    for wanted in
        ["xenpodctl.1", "xenpodctl-explain.1", "xenpodctl-container-create.1", "org.xenpod1.Pod.5", "xenpod-recipes.7"]
    {
        assert!(names.contains(&wanted), "{wanted} is not among {names:?}");
    }
    const MACROS: [&str; 16] =
        ["TH", "SH", "SS", "PP", "TP", "TQ", "IP", "RS", "RE", "nf", "fi", "sp", "br", "ie", "el", "EX"];
    for (name, page) in &pages {
        let (stem, section) = name.rsplit_once('.').unwrap();
        let mut open: Vec<&str> = Vec::new();
        let mut sections = Vec::new();
        for (i, line) in page.lines().enumerate() {
            let at = || format!("{name}:{}: {line:?}", i + 1);
            assert!(!line.contains(char::is_control) && !line.is_empty(), "{}", at());
            if let Some(control) = line.strip_prefix('.') {
                let (macro_name, argument) = control.split_once(' ').unwrap_or((control, ""));
                assert!(MACROS.contains(&macro_name), "{}", at());
                match macro_name {
                    "nf" | "RS" => open.push(macro_name),
                    "fi" => assert_eq!(open.pop(), Some("nf"), "{}", at()),
                    "RE" => assert_eq!(open.pop(), Some("RS"), "{}", at()),
                    "SH" => sections.push(argument.trim_matches('"').to_string()),
                    _ => {}
                }
                continue;
            }
            assert!(!line.starts_with('\''), "{}", at());
            // A font that is not taken back would go on to the end of the page.
            let fonts = line.matches("\\fB").count() + line.matches("\\fI").count();
            assert_eq!(fonts, line.matches("\\fR").count(), "{}", at());
            let mut rest = line.replace("\\\\", "");
            for known in ["\\fB", "\\fI", "\\fR", "\\&", "\\-", "\\*(Aq", "\\(bu"] {
                rest = rest.replace(known, "");
            }
            assert!(!rest.contains('\\'), "an escape that is not known: {}", at());
        }
        assert!(open.is_empty(), "{name}: {open:?}");
        assert_eq!(sections.first().map(String::as_str), Some("NAME"), "{name}");
        assert_eq!(sections.last().map(String::as_str), Some("SEE ALSO"), "{name}");
        let line = page.lines().skip_while(|l| *l != ".SH NAME").nth(1).unwrap();
        assert!(line.starts_with(&format!("{} \\- ", stem.replace('-', "\\-"))), "{name}: {line}");
        assert!(page.lines().any(|l| l.starts_with(&format!(".TH {stem} {section} \"\" "))), "{name}");
    }
    // What they point to is there.
    for (name, page) in &pages {
        let (_, see_also) = page.rsplit_once(".SH \"SEE ALSO\"\n").or(page.rsplit_once(".SH SEE ALSO\n")).unwrap();
        for other in text(see_also).trim().split(", ") {
            let file = other.replace('(', ".").replace(')', "");
            let theirs = ["busctl.1", "gdbus.1", "xl.1", "xenpodd.8"].contains(&file.as_str());
            assert!(theirs || names.contains(&file.as_str()), "{name} points to {other}");
        }
    }
}
