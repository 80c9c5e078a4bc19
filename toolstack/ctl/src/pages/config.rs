//! xenpodd.yaml(5), from the shipped file: its comments are the texts, and what is commented out the defaults.

use clap_mangen::roff::{Roff, bold, roman};

use super::markup::{inline, verbatim};
use super::{Page, pages};

/// A setting of the shipped file.
#[derive(Debug, PartialEq, Eq)]
struct Setting {
    /// Its keys, with dots.
    key: String,
    /// Its default; empty for one that has settings below it.
    default: String,
}

/// What the file says of some settings that stand together.
#[derive(Debug, Default)]
struct Group {
    text: Vec<String>,
    example: Vec<String>,
    settings: Vec<Setting>,
}

/// The page.
pub fn page(shipped: &str) -> Page {
    let (head, groups) = parse(shipped);
    let mut body = Roff::new();
    body.control("SH", ["SYNOPSIS"]).text([bold("/etc/xenpod/xenpodd.yaml")]);
    body.control("SH", ["DESCRIPTION"]).text(inline(&head));
    body.control("SH", ["SETTINGS"]);
    for group in groups {
        for (i, setting) in group.settings.iter().enumerate() {
            body.control(if i == 0 { "TP" } else { "TQ" }, []);
            let default = if setting.default.is_empty() { String::new() } else { format!(": {}", setting.default) };
            body.text([bold(&setting.key), roman(default)]);
        }
        let text = if group.text.is_empty() { "As its name says.".into() } else { group.text.join(" ") };
        body.text(inline(&text));
        if !group.example.is_empty() {
            verbatim(group.example.iter().map(String::as_str), &mut body);
        }
    }
    Page {
        name: "xenpodd.yaml".into(),
        section: 5,
        about: "the configuration of xenpodd".into(),
        body,
        see_also: pages(&["xenpodd(8)", "xenpod-manifest(5)"]),
    }
}

/// The file's first paragraph, and the rest of it. Of a commented line, one blank makes it prose, three an example.
fn parse(shipped: &str) -> (String, Vec<Group>) {
    let (head, rest) = shipped.split_once("\n\n").unwrap_or((shipped, ""));
    let head: Vec<&str> = head.lines().map(|l| l.trim_start_matches('#').trim()).collect();
    let mut groups: Vec<Group> = vec![Group::default()];
    let mut above: Vec<(usize, String)> = Vec::new();
    for line in rest.lines() {
        let Some(line) = line.strip_prefix('#') else { continue };
        let text = line.trim_start();
        let indent = line.len() - text.len();
        let Some(group) = groups.last_mut() else { break };
        if indent != 1 && indent != 3 {
            let (key, default) = text.split_once(':').unwrap_or((text, ""));
            above.retain(|(at, _)| *at < indent);
            above.push((indent, key.into()));
            let key = above.iter().map(|(_, k)| k.as_str()).collect::<Vec<_>>().join(".");
            group.settings.push(Setting { key, default: default.trim().into() });
            continue;
        }
        if !group.settings.is_empty() {
            groups.push(Group::default());
        }
        let Some(group) = groups.last_mut() else { break };
        if indent == 1 { &mut group.text } else { &mut group.example }.push(text.into());
    }
    (head.join(" "), groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_stands_with_what_follows_it() {
        let text = "# About it.\n\n# One.\n#a: 5\n#b: x y\n\n# Two.\n# Example:\n#   c: 1\n#c:\n#  d: null\n# Three.\n#  e:\n#    f: 2\n";
        let (head, groups) = parse(text);
        assert_eq!(head, "About it.");
        let keys: Vec<Vec<(&str, &str)>> =
            groups.iter().map(|g| g.settings.iter().map(|s| (s.key.as_str(), s.default.as_str())).collect()).collect();
        assert_eq!(
            keys,
            [vec![("a", "5"), ("b", "x y")], vec![("c", ""), ("c.d", "null")], vec![("c.e", ""), ("c.e.f", "2")]]
        );
        assert_eq!(groups[1].text, ["Two.", "Example:"]);
        assert_eq!(groups[1].example, ["c: 1"]);
    }
}
