//! What the README says of the checkout is so.

use std::collections::BTreeSet;
use std::fs;

use crate::host::checkout;

fn readme() -> String {
    fs::read_to_string(checkout().join("README.md")).unwrap()
}

/// What stands in backquotes.
fn quoted(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Names of the dependencies in a manifest of cargo.
fn dependencies(manifest: &str) -> BTreeSet<&str> {
    let mut inside = false;
    let mut names = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
        } else if inside && line.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            names.extend(line.split([' ', '.', '=']).next());
        }
    }
    names
}

#[test]
fn every_dependency_is_said_what_it_is_for() {
    let readme = readme();
    let named = quoted(&readme);
    let workspace = fs::read_to_string(checkout().join("Cargo.toml")).unwrap();
    let members = workspace.split("members = [").nth(1).unwrap().split(']').next().unwrap();
    let members: Vec<&str> = members.split('"').skip(1).step_by(2).collect();
    assert!(members.len() > 5, "{members:?}");
    for member in members {
        let manifest = fs::read_to_string(checkout().join(member).join("Cargo.toml")).unwrap();
        for name in dependencies(&manifest) {
            let own = name.starts_with("xenpod-") || name == "libxl-sys";
            assert!(own || named.contains(name), "the README does not say what {name} of {member} is for");
        }
    }
}

#[test]
fn every_folder_of_the_map_is_there() {
    let readme = readme();
    let map = readme.split("## The map").nth(1).unwrap().split("\n## ").next().unwrap();
    assert!(map.lines().filter(|l| l.starts_with("| `")).count() > 8, "{map}");
    for line in map.lines().filter(|l| l.starts_with("| `")) {
        for folder in quoted(line.split('|').nth(1).unwrap()) {
            assert!(checkout().join(folder).is_dir(), "there is no folder {folder}");
        }
    }
}
