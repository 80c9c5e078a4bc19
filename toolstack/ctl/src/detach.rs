//! Keys that leave a program on a terminal without ending it.

/// A sequence of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys(Vec<u8>);

impl Keys {
    /// From the command line: single characters and `ctrl-` with a letter or one of `@[\]^_`, separated by commas.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words = text.split(',').filter(|_| !text.is_empty());
        words.map(key).collect::<Option<_>>().map(Self).ok_or_else(|| {
            "keys are single characters and ctrl-a to ctrl-z, ctrl-@, ctrl-[, ctrl-\\, ctrl-], ctrl-^ and ctrl-_, with \
             commas in between"
                .into()
        })
    }
}

fn key(word: &str) -> Option<u8> {
    match (word.strip_prefix("ctrl-").map(str::as_bytes), word.as_bytes()) {
        (Some([letter @ b'a'..=b'z']), _) => Some(letter - b'a' + 1),
        (Some(b"@"), _) => Some(0),
        (Some([sign @ b'['..=b'_']), _) => Some(sign - b'[' + 27),
        (None, [byte]) if byte.is_ascii() => Some(*byte),
        _ => None,
    }
}

/// Looks for them in what is typed.
#[derive(Debug)]
pub struct Watch {
    keys: Vec<u8>,
    /// Typed, and a beginning of them.
    held: Vec<u8>,
}

impl Watch {
    /// For these.
    pub fn new(keys: &Keys) -> Self {
        Self { keys: keys.0.clone(), held: Vec::new() }
    }

    /// What of `typed` is to be passed on. True: they were typed; what came after them is dropped.
    pub fn take(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut on = Vec::with_capacity(typed.len());
        for byte in typed {
            self.held.push(*byte);
            while !self.keys.starts_with(&self.held) {
                on.push(self.held.remove(0));
            }
            if !self.keys.is_empty() && self.held == self.keys {
                return (on, true);
            }
        }
        (on, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_words() {
        assert_eq!(Keys::parse("ctrl-p,ctrl-q"), Ok(Keys(vec![16, 17])));
        assert_eq!(Keys::parse("x,ctrl-@,ctrl-[,ctrl-_"), Ok(Keys(vec![b'x', 0, 27, 31])));
        assert_eq!(Keys::parse(""), Ok(Keys::default()));
        for bad in ["ctrl-", "ctrl-1", "ab", "ctrl-p,", "\u{e4}"] {
            assert!(Keys::parse(bad).unwrap_err().starts_with("keys are"), "{bad}");
        }
    }

    #[test]
    fn they_are_found_wherever_they_are_cut() {
        let keys = Keys::parse("ctrl-p,ctrl-q").unwrap();
        let take = |parts: &[&[u8]]| {
            let mut watch = Watch::new(&keys);
            let mut on = Vec::new();
            for part in parts {
                let (more, left) = watch.take(part);
                on.extend(more);
                if left {
                    return (on, true);
                }
            }
            (on, false)
        };
        assert_eq!(take(&[b"ab\x10\x11cd"]), (b"ab".to_vec(), true));
        assert_eq!(take(&[b"ab\x10", b"\x11"]), (b"ab".to_vec(), true));
        assert_eq!(take(&[b"\x10", b"x\x11"]), (b"\x10x\x11".to_vec(), false));
        assert_eq!(take(&[b"\x10\x10\x11"]), (b"\x10".to_vec(), true), "a beginning that is none");
        assert_eq!(take(&[b"held\x10"]), (b"held".to_vec(), false));
        assert_eq!(Watch::new(&Keys::default()).take(b"\x10\x11"), (b"\x10\x11".to_vec(), false));
    }
}
