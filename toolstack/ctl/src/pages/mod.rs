//! The manual pages, made when the package is built.
//!
//! ```text
//! the command line (clap) --commands--> xenpodctl*(1)
//! org.xenpod1.*.xml       --interface-> org.xenpod1.*(5)
//! the table of fields     --manifest--> xenpod-manifest(5)
//! xenpodd.yaml            --config----> xenpodd.yaml(5)
//! recipes.md              --markup----> xenpod-recipes(7)
//! ```
//! What they are made of is the only place where it stands: texts are marked up as `markup` says.

mod commands;
mod config;
mod interface;
mod manifest;
mod markup;
mod signature;

use std::path::Path;

use clap_mangen::roff::{Roff, bold, roman};

use crate::failure::Failure;

/// A manual page.
#[derive(Debug)]
pub struct Page {
    /// Its name.
    pub name: String,
    /// Its section.
    pub section: u8,
    /// What it is, in half a sentence.
    pub about: String,
    /// Its text, from the section after NAME on.
    pub body: Roff,
    /// The pages it points to: names with sections.
    pub see_also: Vec<String>,
}

impl Page {
    /// Its file's name.
    pub fn file(&self) -> String {
        format!("{}.{}", self.name, self.section)
    }

    /// Its source for man(1).
    pub fn render(self) -> String {
        let mut page = Roff::new();
        let source = concat!("xenpod ", env!("CARGO_PKG_VERSION"));
        // Without a date: the same sources make the same package.
        page.control("TH", [self.name.as_str(), &self.section.to_string(), "\"\"", source, "xenpod"]);
        page.control("SH", ["NAME"]).text([roman(format!("{} - {}", self.name, self.about))]);
        page.extend([self.body]);
        page.extend([see_also(&self.see_also)]);
        page.render()
    }
}

/// The section that points to other pages.
fn see_also(pages: &[String]) -> Roff {
    let mut section = Roff::new();
    section.control("SH", ["SEE ALSO"]);
    let mut line = Vec::new();
    for page in pages {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        let (name, section) = page.split_once('(').unwrap_or((page, ""));
        line.push(bold(name));
        line.push(roman(format!("({section}")));
    }
    section.text(line);
    section
}

/// Makes all pages from the installed tree in `sources`, in `out`.
///
/// # Errors
/// A file cannot be read or written, or a description is not what it should be.
pub fn write(sources: &Path, out: &Path) -> Result<(), Failure> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |e| Failure::Io(path, e)
    };
    let read = |path: &str| {
        let path = sources.join(path);
        std::fs::read_to_string(&path).map_err(failed(&path))
    };
    std::fs::create_dir_all(out).map_err(failed(out))?;
    let mut pages = vec![
        manifest::page(),
        config::page(&read("etc/xenpod/xenpodd.yaml")?),
        recipes(&read("usr/share/doc/xenpod/recipes.md")?),
    ];
    let folder = sources.join("usr/share/dbus-1/interfaces");
    let mut interfaces = Vec::new();
    for file in std::fs::read_dir(&folder).map_err(failed(&folder))? {
        let path = file.map_err(failed(&folder))?.path();
        if path.extension().is_some_and(|e| e == "xml") {
            let xml = std::fs::read_to_string(&path).map_err(failed(&path))?;
            let parsed = interface::Interface::parse(&xml);
            interfaces.push(parsed.map_err(|why| Failure::Usage(format!("{}: {why}", path.display())))?);
        }
    }
    let all: Vec<String> = interfaces.iter().map(|i| i.name.clone()).collect();
    pages.extend(interfaces.into_iter().map(|i| interface::page(i, &all)));
    let mut files: Vec<(String, String)> = pages.into_iter().map(|page| (page.file(), page.render())).collect();
    files.extend(commands::pages());
    for (name, text) in files {
        let path = out.join(name);
        std::fs::write(&path, text).map_err(failed(&path))?;
    }
    Ok(())
}

/// xenpod-recipes(7), from the file that the tests execute.
fn recipes(text: &str) -> Page {
    let mut body = Roff::new();
    markup::render(text, &mut body);
    Page {
        name: "xenpod-recipes".into(),
        section: 7,
        about: "org.xenpod1 from the command line, by example".into(),
        body,
        see_also: pages(&[
            "busctl(1)",
            "gdbus(1)",
            "xenpodctl(1)",
            "org.xenpod1.Manager(5)",
            "xenpod-manifest(5)",
            "xenpodd(8)",
        ]),
    }
}

fn pages(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_string()).collect()
}

#[cfg(test)]
mod tests;
