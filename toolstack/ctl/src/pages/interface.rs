//! An interface's page, from its XML and the comments in it: a comment stands before what it is about.

use clap_mangen::roff::{Roff, bold, roman};
use roxmltree::Node;
use xenpod_api::error::ErrorName;

use super::markup::{inline, verbatim};
use super::{Page, pages, signature};

/// An interface.
#[derive(Debug, Default)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// What its objects are, and where.
    pub comment: String,
    /// Its methods, signals and properties.
    pub members: Vec<Member>,
}

/// What a [`Member`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Method,
    Signal,
    Property,
}

/// A member of an interface.
#[derive(Debug)]
pub struct Member {
    pub kind: Kind,
    pub name: String,
    pub comment: String,
    /// Of a method or signal.
    pub args: Vec<Arg>,
    /// Of a property.
    pub signature: String,
    /// Of a property: how its changes are told.
    pub emits: String,
}

/// An argument.
#[derive(Debug)]
pub struct Arg {
    pub name: String,
    pub signature: String,
    pub out: bool,
}

impl Interface {
    /// Reads a file of introspection data.
    pub fn parse(xml: &str) -> Result<Self, String> {
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let document = roxmltree::Document::parse_with_options(xml, options).map_err(|e| e.to_string())?;
        let root = document.root_element();
        let node = root.children().find(|n| n.has_tag_name("interface")).ok_or("it has no interface")?;
        let name = attribute(node, "name")?;
        let mut interface = Self { name, comment: comment(root), members: Vec::new() };
        for member in node.children().filter(Node::is_element) {
            interface.members.push(Member::parse(member)?);
        }
        Ok(interface)
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(move |m| m.kind == kind)
    }
}

impl Member {
    fn parse(node: Node<'_, '_>) -> Result<Self, String> {
        let kind = match node.tag_name().name() {
            "method" => Kind::Method,
            "signal" => Kind::Signal,
            "property" => Kind::Property,
            other => return Err(format!("<{other}> is none of method, signal and property")),
        };
        let mut args = Vec::new();
        for arg in node.children().filter(|n| n.has_tag_name("arg")) {
            let out = kind == Kind::Signal || arg.attribute("direction") == Some("out");
            args.push(Arg { name: attribute(arg, "name")?, signature: attribute(arg, "type")?, out });
        }
        let emits = node
            .children()
            .find(|n| n.attribute("name") == Some("org.freedesktop.DBus.Property.EmitsChangedSignal"))
            .and_then(|n| n.attribute("value"))
            .unwrap_or("true");
        Ok(Self {
            kind,
            name: attribute(node, "name")?,
            comment: comment(node),
            args,
            signature: node.attribute("type").unwrap_or_default().into(),
            emits: emits.into(),
        })
    }
}

fn attribute(node: Node<'_, '_>, name: &str) -> Result<String, String> {
    let missing = || format!("<{}> has no {name}", node.tag_name().name());
    node.attribute(name).map(String::from).ok_or_else(missing)
}

/// The comment right before a node, its lines joined.
fn comment(node: Node<'_, '_>) -> String {
    let before = node.prev_siblings().skip(1).find(|n| n.is_comment() || n.is_element());
    let text = before.filter(Node::is_comment).and_then(|n| n.text()).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Its page; `all` are the names of all interfaces.
pub fn page(interface: Interface, all: &[String]) -> Page {
    let mut body = Roff::new();
    body.control("SH", ["SYNOPSIS"]);
    verbatim(synopsis(&interface).lines(), &mut body);
    body.control("SH", ["DESCRIPTION"]).text(inline(&interface.comment));
    body.control("PP", []);
    body.text(inline(
        "The service is `org.xenpod1` on the system bus; `xenpod-recipes`(7) shows how to call it. An argument `options` is a mapping of \
         names to values; what is not given has its default, and a name that is not known is refused with \
         `org.freedesktop.DBus.Error.InvalidArgs`. Times are microseconds since the epoch, and 0 for never.",
    ));
    for (kind, title) in [(Kind::Method, "METHODS"), (Kind::Signal, "SIGNALS"), (Kind::Property, "PROPERTIES")] {
        if interface.of(kind).next().is_some() {
            body.control("SH", [title]);
            interface.of(kind).for_each(|m| member(m, &mut body));
        }
    }
    if interface.of(Kind::Method).next().is_some() {
        errors(&mut body);
    }
    let first = interface.comment.split_inclusive(['.', ':', ',']).next().unwrap_or_default();
    let about = first.trim_end_matches(['.', ':', ',']);
    let others = all.iter().filter(|name| **name != interface.name).map(|name| format!("{name}(5)"));
    let mut see_also = pages(&["busctl(1)", "xenpodctl(1)", "xenpod-recipes(7)", "xenpodd(8)"]);
    see_also.extend(others);
    see_also.sort();
    Page { about: lower(about), name: interface.name, section: 5, body, see_also }
}

/// A sentence's beginning as the rest of one.
fn lower(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// The interface in the manner of `gdbus introspect`.
fn synopsis(interface: &Interface) -> String {
    let mut out = format!("interface {} {{\n", interface.name);
    for (kind, title) in [(Kind::Method, "methods"), (Kind::Signal, "signals"), (Kind::Property, "properties")] {
        if interface.of(kind).next().is_none() {
            continue;
        }
        out.push_str(&format!("  {title}:\n"));
        for member in interface.of(kind) {
            if kind == Kind::Property {
                out.push_str(&format!("    readonly {} {};\n", member.signature, member.name));
                continue;
            }
            let indent = " ".repeat(member.name.len() + 5);
            let arg = |a: &Arg| {
                let direction = match (kind, a.out) {
                    (Kind::Method, true) => "out ",
                    (Kind::Method, false) => "in  ",
                    _ => "",
                };
                format!("{direction}{} {}", a.signature, a.name)
            };
            let args: Vec<String> = member.args.iter().map(arg).collect();
            out.push_str(&format!("    {}({});\n", member.name, args.join(&format!(",\n{indent}"))));
        }
    }
    out.push_str("};\n");
    out
}

fn member(of: &Member, body: &mut Roff) {
    let names = |out: bool| -> String {
        let names: Vec<&str> = of.args.iter().filter(|a| a.out == out).map(|a| a.name.as_str()).collect();
        names.join(", ")
    };
    body.control(
        "SS",
        [match of.kind {
            Kind::Method if of.args.iter().any(|a| a.out) => {
                format!("{}({}) -> {}", of.name, names(false), names(true))
            }
            Kind::Method => format!("{}({})", of.name, names(false)),
            Kind::Signal => format!("{}({})", of.name, names(true)),
            Kind::Property => of.name.clone(),
        }
        .as_str()],
    );
    // What there is to choose, and what can go wrong, have paragraphs of their own.
    let text = of.comment.replace(" Options: ", "\nOptions: ").replace(" Errors: ", "\nErrors: ");
    for (i, paragraph) in text.lines().enumerate() {
        if i > 0 {
            body.control("PP", []);
        }
        body.text(inline(paragraph));
    }
    if of.kind == Kind::Property {
        let emits = match of.emits.as_str() {
            "const" => "It does not change.",
            "invalidates" => "That it has changed is told by `PropertiesChanged`, without the value.",
            "false" => "Its changes are not told.",
            _ => "Its changes are told by `PropertiesChanged`.",
        };
        let text = format!("Type: `{}`, {}. Read-only. {emits}", of.signature, signature::words(&of.signature));
        body.control("PP", []).text(inline(&text));
    }
    for arg in &of.args {
        body.control("TP", [])
            .text([bold(&arg.name), roman(if of.kind == Kind::Method && !arg.out { " (in)" } else { "" })]);
        body.text(inline(&format!("`{}`: {}", arg.signature, signature::words(&arg.signature))));
    }
}

/// What every call may be answered with.
fn errors(body: &mut Roff) {
    body.control("SH", ["ERRORS"]);
    body.text(inline(
        "The message of an error names the object, the cause and what to do; the name is what a program may act on. \
         What is answered by a job stands in the job. Every call may be answered with InvalidArgs, AccessDenied, UnknownObject or Internal; \
         what else a method may say stands with it.",
    ));
    for name in ErrorName::ALL {
        body.control("TP", []).text([bold(name.as_str())]).text(inline(name.meaning()));
    }
}
