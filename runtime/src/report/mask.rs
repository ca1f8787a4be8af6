//! Secrets, of which no output may have any.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// What stands in place of a secret.
const MASKED: &str = "***";

/// Whether what has this name is nobody else's business: tokens, passwords, secrets, private and API keys.
pub(crate) fn is_secret(name: &str) -> bool {
    static SECRET: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?i)token|passw|secret|credential|private_?key|api_?key|secret_?key|authorization")
            .expect("the pattern is constant")
    });
    SECRET.is_match(name)
}

/// A text without the passwords of URLs and without the values of names that are secret (`token=…`).
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    static SECRETS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(concat!(
            r"(?P<url>[a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s@'\x22]*:[^/\s@'\x22]*@",
            r"|(?P<name>(?i:token|passw(?:or)?d|secret(?:_key)?|credentials?|api_?key|private_?key)\x22?\s*[=:]\s*\x22?)[^\s\x22',;}&]+",
            r"|(?P<sent>(?i:authorization)\x22?\s*[=:]\s*\x22?(?:\w+\s+)?)[^\s\x22',;}&]+",
            r"|(?P<bearer>(?i:bearer)\s+)[A-Za-z0-9._~+/-]{8,}=*",
        ))
        .expect("the pattern is constant")
    });
    SECRETS.replace_all(text, |found: &regex::Captures<'_>| {
        let kept = |name: &str| found.name(name).map_or("", |found| found.as_str());
        let at = if found.name("url").is_some() { "@" } else { "" };
        format!("{}{}{}{}{MASKED}{at}", kept("url"), kept("name"), kept("sent"), kept("bearer"))
    })
}

/// Data without secrets, by the names of its fields and of pairs of a name and a value, and in its texts.
pub(crate) fn value(data: &mut Value) {
    match data {
        Value::String(string) => {
            if let Cow::Owned(masked) = text(string) {
                *string = masked;
            }
        }
        Value::Array(values) => match &mut values[..] {
            [Value::String(name), of] if is_secret(name) => hide(of),
            values => values.iter_mut().for_each(value),
        },
        Value::Object(fields) => {
            for (name, field) in fields {
                if is_secret(name) { hide(field) } else { value(field) }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Hides all texts of what has a secret name.
fn hide(data: &mut Value) {
    match data {
        Value::String(string) => MASKED.clone_into(string),
        Value::Array(values) => values.iter_mut().for_each(hide),
        Value::Object(fields) => fields.values_mut().for_each(hide),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_masked() {
        for (with, without) in [
            ("at http://me:hunter2@host:9090/path", "at http://***@host:9090/path"),
            ("token=abc123&x=1", "token=***&x=1"),
            ("secret_key: 0a1b2c", "secret_key: ***"),
            ("{\"password\":\"hunter2\"}", "{\"password\":\"***\"}"),
            ("Authorization: Bearer abcdefgh.ijkl", "Authorization: Bearer ***"),
            ("\"authorization\": \"Basic bWU6cHc=\"", "\"authorization\": \"Basic ***\""),
            ("with bearer abcdefgh.ijkl", "with bearer ***"),
        ] {
            assert_eq!(text(with), without, "{with}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "http://127.0.0.1:18080/cryptarchia/info",
            "2026-11-24T23:20:44Z INFO a token was spent",
            "a: b@c",
        ] {
            assert_eq!(super::text(text), text);
        }
    }

    #[test]
    fn pairs_and_lists_are_masked_by_name() {
        let mut data = json!({ "env": [["API_TOKEN", "x"], ["HOME", "y"]], "secrets": ["x", { "of": "x" }] });
        value(&mut data);
        assert_eq!(
            data,
            json!({ "env": [["API_TOKEN", "***"], ["HOME", "y"]], "secrets": ["***", { "of": "***" }] })
        );
    }

    #[test]
    fn fields_are_masked_by_name() {
        let mut data = json!({ "api_key": "x", "inner": [{ "Password": "1", "tokens": 3, "url": "s3://a:b@c" }], "slot": 2 });
        value(&mut data);
        assert_eq!(
            data,
            json!({ "api_key": "***", "inner": [{ "Password": "***", "tokens": 3, "url": "s3://***@c" }], "slot": 2 })
        );
    }
}
