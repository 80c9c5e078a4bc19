//! On which line of the text a path of the document stands. Needed only when something is wrong, so it parses the text again.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser};

use super::Problem;

/// Turns the path style of `serde_ignored` (`spec.containers.0.?.image`) into ours (`spec.containers[0].image`).
pub(super) fn dotted(path: &str) -> String {
    let mut out = String::new();
    for part in path.split('.').filter(|p| *p != "?") {
        if !out.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) {
            out.push_str(&format!("[{part}]"));
        } else {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(part);
        }
    }
    out
}

/// Gives each problem the line of its path, or of the nearest parent that stands in the text.
pub(super) fn fill_lines(text: &str, problems: &mut [Problem]) {
    let lines = lines(text);
    for problem in problems {
        let mut path = problem.path.as_str();
        loop {
            if let Some(line) = lines.get(path) {
                problem.line = Some(*line);
                break;
            }
            match path.rfind(['.', '[']) {
                Some(at) => path = &path[..at],
                None => break,
            }
        }
    }
}

/// A collection that is being read.
enum Open {
    Mapping { path: String, key: Option<String> },
    Sequence { path: String, next: usize },
}

impl Open {
    /// The path of the value that comes next, or `None` when a key comes next.
    fn value_path(&mut self) -> Option<String> {
        match self {
            Self::Mapping { path, key } => {
                let key = key.take()?;
                Some(if path.is_empty() { key } else { format!("{path}.{key}") })
            }
            Self::Sequence { path, next } => {
                *next += 1;
                Some(format!("{path}[{}]", *next - 1))
            }
        }
    }
}

/// The line of each path of the first document that has any.
fn lines(text: &str) -> HashMap<String, usize> {
    let mut found = HashMap::new();
    let mut stack: Vec<Open> = Vec::new();
    for event in Parser::new_from_str(super::without_mark(text)) {
        let Ok((event, span)) = event else { break };
        let line = span.start.line();
        match event {
            Event::Scalar(value, ..) => {
                if let Some(Open::Mapping { path, key: key @ None }) = stack.last_mut() {
                    let full = if path.is_empty() { value.to_string() } else { format!("{path}.{value}") };
                    *key = Some(value.to_string());
                    found.entry(full).or_insert(line);
                } else if let Some(path) = stack.last_mut().and_then(Open::value_path) {
                    found.entry(path).or_insert(line);
                }
            }
            Event::Alias(..) => {
                stack.last_mut().and_then(Open::value_path);
            }
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                let path = stack.last_mut().and_then(Open::value_path).unwrap_or_default();
                found.entry(path.clone()).or_insert(line);
                stack.push(match event {
                    Event::MappingStart(..) => Open::Mapping { path, key: None },
                    _ => Open::Sequence { path, next: 0 },
                });
            }
            Event::MappingEnd | Event::SequenceEnd => {
                stack.pop();
            }
            Event::DocumentEnd if !found.is_empty() => break,
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_its_line() {
        let text = "a: 1\nb:\n  - x: 1\n    y: {z: 2}\n  - - q\n'c.d':\n  e: f\n";
        let lines = lines(text);
        for (path, line) in
            [("a", 1), ("b", 2), ("b[0]", 3), ("b[0].x", 3), ("b[0].y.z", 4), ("b[1][0]", 5), ("c.d.e", 7)]
        {
            assert_eq!(lines.get(path), Some(&line), "{path}");
        }
    }

    #[test]
    fn paths_of_serde_ignored() {
        assert_eq!(dotted("spec.?.containers.0.?.image"), "spec.containers[0].image");
    }
}
