//! The attribute on snippets, without a compiler: what it says of mistakes, and what it emits.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};

mod expansion;
mod manual;
mod ui;

/// The snippets of a folder beside the sources.
fn cases(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(folder).expect("the cases are beside the sources");
    let mut cases: Vec<_> = entries
        .map(|entry| entry.expect("an entry can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    cases.sort();
    cases
}

/// The attribute's arguments and the item it is on, from a file that holds nothing else: as a compiler does, by
/// tokens, so that neither needs to be right.
fn parsed(source: &str) -> (TokenStream, TokenStream) {
    let mut tokens: Vec<_> = source.parse::<TokenStream>().expect("a case has tokens").into_iter().collect();
    let (index, arguments) = tokens
        .iter()
        .enumerate()
        .find_map(|(index, token)| Some((index, arguments(token)?)))
        .expect("a case has the attribute");
    tokens.drain(index - 1..=index);
    (arguments, tokens.into_iter().collect())
}

/// What is in the parentheses of `[scenario(…)]`.
fn arguments(token: &TokenTree) -> Option<TokenStream> {
    let TokenTree::Group(group) = token else { return None };
    let mut inner = group.stream().into_iter();
    match inner.next()? {
        TokenTree::Ident(name) if name == "scenario" => {}
        _ => return None,
    }
    match inner.next() {
        Some(TokenTree::Group(arguments)) => Some(arguments.stream()),
        _ => Some(TokenStream::new()),
    }
}

/// Compares what every snippet of a folder gives with the golden beside it; `UPDATE=1` writes these anew.
fn check_goldens(folder: &str, extension: &str, result: impl Fn(&str, &str) -> String) {
    let update = std::env::vars().any(|(name, value)| name == "UPDATE" && value == "1");
    let mut wrong = Vec::new();
    for case in cases(folder) {
        let name = format!("{folder}/{}", case.file_name().expect("a file has a name").to_string_lossy());
        let seen = result(&name, &fs::read_to_string(&case).expect("a case can be read"));
        let golden = case.with_extension(extension);
        if update {
            fs::write(&golden, &seen).expect("a golden can be written");
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if seen != expected {
            wrong.push(format!("== {name}\nexpected:\n{expected}\nseen:\n{seen}"));
        }
    }
    assert!(wrong.is_empty(), "{}\nrewrite with UPDATE=1", wrong.join("\n"));
}
