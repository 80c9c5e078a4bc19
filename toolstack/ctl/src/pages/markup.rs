//! A little markup: `# ` and `## ` begin sections, four blanks what is shown as it is, `- ` an item; paragraphs are divided by empty
//! lines. In a line, what stands in backquotes is to be typed, and `name(5)` is a page.
//!
//! Of what is shown as it is, a line that begins with `!$ ` is a command that fails; the page has it as `$ `.

use clap_mangen::roff::{Inline, Roff, bold, roman};

/// A whole text.
pub fn render(text: &str, roff: &mut Roff) {
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(title) = line.strip_prefix("# ") {
            roff.control("SH", [title.to_uppercase().as_str()]);
        } else if let Some(title) = line.strip_prefix("## ") {
            roff.control("SS", [title]);
        } else if line.starts_with("    ") {
            let mut shown = vec![line];
            // An empty line between two that are shown is shown too.
            while let Some(next) = lines.next_if(|l| l.starts_with("    ") || l.is_empty()) {
                shown.push(next);
            }
            while shown.last().is_some_and(|l| l.is_empty()) {
                shown.pop();
            }
            verbatim(shown.iter().map(|l| l.get(4..).unwrap_or_default()), roff);
        } else if !line.is_empty() {
            let item = line.strip_prefix("- ");
            let mut paragraph = item.unwrap_or(line).to_string();
            while let Some(next) = lines.next_if(|l| !l.is_empty() && !l.starts_with("- ") && !l.starts_with("    ")) {
                paragraph.push(' ');
                paragraph.push_str(next.trim());
            }
            if item.is_some() {
                roff.control("IP", ["\\(bu", "2"]);
            } else {
                roff.control("PP", []);
            }
            roff.text(inline(&paragraph));
        }
    }
}

/// Lines as they are.
pub fn verbatim<'a>(lines: impl Iterator<Item = &'a str>, roff: &mut Roff) {
    roff.control("PP", []).control("RS", ["4"]).control("nf", []);
    for line in lines {
        if line.is_empty() {
            roff.control("sp", []);
        } else {
            roff.text([roman(line.strip_prefix('!').filter(|l| l.starts_with("$ ")).unwrap_or(line))]);
        }
    }
    roff.control("fi", []).control("RE", []);
}

/// A line's text in parts.
pub fn inline(text: &str) -> Vec<Inline> {
    let mut parts = Vec::new();
    for (i, part) in text.split('`').enumerate() {
        if i % 2 == 1 {
            parts.push(bold(part));
        } else {
            references(part, &mut parts);
        }
    }
    parts
}

/// Names of pages are bold, their sections are not.
fn references(text: &str, parts: &mut Vec<Inline>) {
    let mut plain = String::new();
    for word in text.split_inclusive(' ') {
        let page = word.find('(').filter(|at| {
            let section = &word.as_bytes()[at + 1..];
            *at > 1 && section.first().is_some_and(u8::is_ascii_digit) && section.get(1) == Some(&b')')
        });
        match page {
            Some(at) => {
                parts.push(roman(std::mem::take(&mut plain)));
                parts.push(bold(&word[..at]));
                plain.push_str(&word[at..]);
            }
            None => plain.push_str(word),
        }
    }
    if !plain.is_empty() {
        parts.push(roman(plain));
    }
}
