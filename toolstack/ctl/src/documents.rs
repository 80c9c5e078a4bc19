//! A file with a Pod and, beside it, the ConfigMaps and Secrets that it refers to.

use base64::Engine;
use serde_yaml::Value;

use crate::failure::Failure;
use crate::given::Given;

/// The Pod's text, its lines where they were, and what stands beside it. What is not several documents goes to the daemon
/// as it is.
pub fn split(text: String) -> Result<(String, Given), Failure> {
    let mut given = Given::default();
    let text = text.strip_prefix('\u{feff}').map(String::from).unwrap_or(text);
    let parts = parts(&text);
    let parsed: Option<Vec<Value>> = parts.iter().map(|part| serde_yaml::from_str(part).ok()).collect();
    let Some(parsed) = parsed.filter(|all| all.iter().filter(|d| !d.is_null()).count() > 1) else {
        return Ok((text, given));
    };
    let mut pods = 0;
    let mut kept = String::new();
    let mut number = 0;
    for (part, document) in parts.iter().zip(&parsed) {
        // What says nothing, such as a comment before the first, is no document to who counts them.
        number += usize::from(!document.is_null());
        let kind = document.get("kind").and_then(Value::as_str).unwrap_or_default();
        let usage = |text: String| Failure::Usage(format!("document {number} of the manifest {text}"));
        match kind {
            "Pod" => {
                pods += 1;
                if pods > 1 {
                    return Err(usage("is a second Pod; one at a time".into()));
                }
                kept.push_str(part);
                continue;
            }
            "ConfigMap" | "Secret" => add(document, kind, &mut given).map_err(usage)?,
            _ if document.is_null() => {}
            other => {
                return Err(usage(format!("is a {other:?}; beside the Pod there can be ConfigMaps and Secrets")));
            }
        }
        // So that the daemon's line numbers are those of the file.
        kept.extend(part.lines().map(|_| '\n'));
    }
    Ok((kept, given))
}

/// The documents with the lines that divide them, which become empty.
fn parts(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for line in text.split_inclusive('\n') {
        if line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace)) {
            all.push("\n".into());
        } else if let Some(last) = all.last_mut() {
            last.push_str(line);
        }
    }
    all
}

fn add(document: &Value, kind: &str, given: &mut Given) -> Result<(), String> {
    let name = document.get("metadata").and_then(|m| m.get("name")).and_then(Value::as_str);
    let Some(name) = name else { return Err(format!("is a {kind} without metadata.name")) };
    let sources = if kind == "Secret" { &mut given.secrets } else { &mut given.config_maps };
    let keys = sources.entry(name.into()).or_default();
    // As the API server does: what is plain text counts more.
    let (encoded, plain) = if kind == "Secret" { ("data", "stringData") } else { ("binaryData", "data") };
    for (field, decode) in [(encoded, true), (plain, false)] {
        let Some(map) = document.get(field).filter(|m| !m.is_null()) else { continue };
        let map = map.as_mapping().ok_or_else(|| format!("is {kind} {name:?}, whose {field} is not a mapping"))?;
        for (key, value) in map {
            let (Some(key), Some(value)) = (key.as_str(), value.as_str()) else {
                return Err(format!("is {kind} {name:?}, in whose {field} a key or value is not a text; quote it"));
            };
            let bytes = if decode {
                let compact: String = value.chars().filter(|c| !c.is_ascii_whitespace()).collect();
                let decoded = base64::engine::general_purpose::STANDARD.decode(compact);
                decoded.map_err(|_| format!("is {kind} {name:?}, whose {field}.{key} is not base64"))?
            } else {
                value.as_bytes().to_vec()
            };
            keys.insert(key.into(), bytes);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n";

    fn refused(text: String) -> String {
        split(text).err().unwrap().to_string()
    }

    #[test]
    fn a_pod_with_its_config_and_secrets() {
        let text = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: app}}\ndata: {{a: one}}\nbinaryData: {{b: AAE=}}\n---\n{POD}---\n\
             kind: Secret\nmetadata: {{name: db}}\ndata: {{pw: aHVzaA==}}\nstringData: {{user: me}}\n"
        );
        let (pod, given) = split(text.clone()).unwrap();
        let line = |text: &str| text.lines().position(|l| l == "kind: Pod");
        assert_eq!(line(&pod), line(&text), "its lines are where they were: {pod:?}");
        assert_eq!(pod.trim(), POD.trim());
        assert_eq!(given.config_maps["app"]["a"], b"one");
        assert_eq!(given.config_maps["app"]["b"], [0, 1]);
        assert_eq!(
            (given.secrets["db"]["pw"].as_slice(), given.secrets["db"]["user"].as_slice()),
            (&b"hush"[..], &b"me"[..])
        );
    }

    #[test]
    fn one_document_or_none_is_the_daemons_to_judge() {
        let comment = format!("# what it is\n---\n{POD}");
        for text in [POD.to_string(), format!("---\n{POD}"), format!("{POD}---\n"), comment, "a: [".into()] {
            let (pod, given) = split(text.clone()).unwrap();
            assert_eq!(pod, text);
            assert!(given.config_maps.is_empty() && given.secrets.is_empty());
        }
    }

    #[test]
    fn what_cannot_stand_beside_a_pod_is_named() {
        let with = |other: &str| refused(format!("{POD}---\n{other}"));
        assert_eq!(with(POD), "document 2 of the manifest is a second Pod; one at a time");
        for around in ["---\n", "# two documents\n---\n", "\u{feff}---\n# nothing\n---\n"] {
            assert_eq!(
                refused(format!("{around}{POD}---\n---\n{POD}---\n")),
                "document 2 of the manifest is a second Pod; one at a time",
                "{around:?}"
            );
        }
        assert!(with("kind: Service\n").starts_with("document 2 of the manifest is a \"Service\"; beside the Pod"));
        assert_eq!(with("kind: Secret\n"), "document 2 of the manifest is a Secret without metadata.name");
        let secret = "kind: Secret\nmetadata: {name: db}\n";
        assert_eq!(
            with(&format!("{secret}data: {{pw: '%%hush'}}\n")),
            "document 2 of the manifest is Secret \"db\", whose data.pw is not base64"
        );
        assert!(with(&format!("{secret}stringData: {{pw: 5}}\n")).ends_with("is not a text; quote it"));
    }
}
