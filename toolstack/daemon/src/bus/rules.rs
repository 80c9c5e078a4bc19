//! Match rules, as the bus daemon tells them: which signals of ours a connection asked for.

/// What a signal is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) path: String,
    pub(super) interface: &'static str,
    pub(super) member: &'static str,
}

/// A rule that could match a signal of ours. What it says of arguments is left to the client's library, which looks again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rule {
    interface: Option<String>,
    member: Option<String>,
    path: Option<String>,
    path_namespace: Option<String>,
}

impl Rule {
    /// Reads a rule of the connection `reader`. `None` when it is not about signals that `senders` send to it, and when it is one that
    /// hears what is sent to others anyway.
    pub(super) fn parse(text: &str, reader: &str, senders: &[&str]) -> Option<Self> {
        let mut rule = Self::default();
        for (key, value) in pairs(text)? {
            match key {
                "type" if value != "signal" => return None,
                "sender" if !senders.contains(&value.as_str()) => return None,
                "destination" if value != reader => return None,
                "eavesdrop" if value == "true" => return None,
                "interface" => rule.interface = Some(value),
                "member" => rule.member = Some(value),
                "path" => rule.path = Some(value),
                "path_namespace" => rule.path_namespace = Some(value),
                _ => {}
            }
        }
        Some(rule)
    }

    /// Whether the signal is one that was asked for.
    pub(super) fn matches(&self, head: &Head) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|w| w == found);
        let below = |root: &str| {
            root == "/" || head.path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        is(&self.interface, head.interface)
            && is(&self.member, head.member)
            && is(&self.path, &head.path)
            && self.path_namespace.as_deref().is_none_or(below)
    }
}

/// `key='value',...`, quoted as D-Bus has it: an apostrophe opens and closes; outside, a backslash before one makes it a plain one.
fn pairs(text: &str) -> Option<Vec<(&str, String)>> {
    let mut pairs = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let (mut value, mut quoted, mut end) = (String::new(), false, after.len());
        let mut chars = after.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            match c {
                '\'' => quoted = !quoted,
                '\\' if !quoted && chars.peek().is_some_and(|(_, c)| *c == '\'') => {
                    chars.next();
                    value.push('\'');
                }
                ',' if !quoted => {
                    end = at;
                    break;
                }
                c => value.push(c),
            }
        }
        if quoted {
            return None;
        }
        pairs.push((key.trim(), value));
        rest = after.get(end + 1..).unwrap_or_default();
    }
    Some(pairs)
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
