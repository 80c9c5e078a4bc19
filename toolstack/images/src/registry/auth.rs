//! Anonymous bearer tokens (distribution's "Token Authentication Specification").

use reqwest::Url;
use serde::Deserialize;

use super::{Client, Failure, authority};
use crate::error::ErrorKind;

/// Longest answer of a token server that is read.
const ANSWER_MAX: usize = 64 << 10;

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
}

impl Client {
    /// Gets a token for pulling, as the registry's challenge says.
    pub(super) async fn fetch_token(&self, challenge: &str) -> Result<String, Failure> {
        let unauthorized = |detail: String| ErrorKind::Unauthorized {
            registry: self.registry.clone(),
            repository: self.repository.clone(),
            detail,
        };
        let Some(parameters) = bearer(challenge) else {
            return Err(unauthorized(format!("it asks for {challenge:?}")).into());
        };
        let value = |key: &str| parameters.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, v)| v.as_str());
        let realm = value("realm").unwrap_or_default();
        let mut url = Url::parse(realm).map_err(|_| unauthorized(format!("its token server {realm:?} is no URL")))?;
        if url.scheme() != "https" && !(url.scheme() == "http" && self.access.allows_http(&authority(&url))) {
            return Err(unauthorized(format!("its token server {realm:?} is not reached by TLS")).into());
        }
        let scope = format!("repository:{}:pull", self.repository);
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = value("service") {
                query.append_pair("service", service);
            }
            query.append_pair("scope", value("scope").unwrap_or(&scope));
        }
        let mut response = self.http.get(url).send().await.map_err(|e| self.broken(&e))?;
        let status = response.status();
        if status.is_client_error() {
            return Err(unauthorized(format!("its token server answered {status}")).into());
        }
        if !status.is_success() {
            return Err(self.refused("a token", response).await);
        }
        let mut raw = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.broken(&e))? {
            raw.extend_from_slice(&chunk);
            if raw.len() > ANSWER_MAX {
                break;
            }
        }
        let answer: Option<Answer> = serde_json::from_slice(&raw).ok();
        let token = answer.and_then(|a| a.token.or(a.access_token));
        let sane = |token: &String| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
        token.filter(sane).ok_or_else(|| unauthorized("its token server gave no token".to_owned()).into())
    }
}

/// The parameters of a `Bearer` challenge: `key="value"` or `key=value`, separated by commas.
fn bearer(challenge: &str) -> Option<Vec<(String, String)>> {
    let (scheme, mut rest) = challenge.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let mut parameters = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', ',']);
        if rest.is_empty() {
            return Some(parameters);
        }
        let (key, after) = rest.split_once('=')?;
        let mut value = String::new();
        if let Some(quoted) = after.strip_prefix('"') {
            let mut chars = quoted.char_indices();
            loop {
                match chars.next()? {
                    (i, '"') => {
                        rest = &quoted[i + 1..];
                        break;
                    }
                    (_, '\\') => value.push(chars.next()?.1),
                    (_, c) => value.push(c),
                }
            }
        } else {
            let end = after.find(',').unwrap_or(after.len());
            value.push_str(after[..end].trim());
            rest = &after[end..];
        }
        parameters.push((key.trim().to_owned(), value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_taken_apart() {
        let found = bearer(r#"Bearer realm="https://a/token",service="a, b",scope="repository:x:pull,push""#).unwrap();
        let expected =
            [("realm", "https://a/token"), ("service", "a, b"), ("scope", "repository:x:pull,push")].map(own);
        assert_eq!(found, expected);
        assert_eq!(
            bearer(r#"bearer realm=plain , error="x\"y""#).unwrap(),
            [("realm", "plain"), ("error", "x\"y")].map(own)
        );
    }

    #[test]
    fn other_schemes_and_garbage_are_none() {
        for text in ["", "Basic realm=\"x\"", "Bearer", "Bearer realm", "Bearer realm=\"open", "Bearer a=\"\\"] {
            assert_eq!(bearer(text), None, "{text}");
        }
    }

    fn own((key, value): (&str, &str)) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }
}
