//! Tests that the compiler leaves out without a word, since their target has no libtest.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Attribute, Item, ItemFn, UseTree};

/// Attributes that make tests for libtest, by their paths.
const FOREIGN: &[&str] = &[
    "async_std::test",
    "core::prelude::v1::test",
    "proptest::property_test",
    "rstest",
    "rstest::rstest",
    "std::prelude::v1::test",
    "test",
    "test_log::test",
    "tokio::test",
];

/// One warning per test in a file and its modules; none where the compiler does not tell the file.
pub(crate) fn warnings(file: Option<&Path>, place: Span) -> TokenStream {
    let tests = file.map_or_else(Vec::new, |file| tests(file, file.parent().unwrap_or(Path::new(""))));
    let warnings = tests.iter().map(|test| {
        let note = format!(
            "{test} never runs, since this target has `harness = false`; write `#[logos_scenario::test]`, or move it to a target of its own"
        );
        let usage = quote_spanned!(place=> DROPPED_TEST);
        quote! {
            const _: () = {
                #[deprecated(note = #note)]
                const DROPPED_TEST: () = ();
                #usage
            };
        }
    });
    quote!(#(#warnings)*)
}

/// The tests in a file and its modules, whose files are in `folder`.
fn tests(file: &Path, folder: &Path) -> Vec<String> {
    let Ok(source) = fs::read_to_string(file) else { return Vec::new() };
    let Ok(parsed) = syn::parse_file(&source) else { return Vec::new() };
    let mut found = Vec::new();
    in_items(&parsed.items, folder, &mut |function, attribute| {
        let name = function.sig.ident.to_string();
        let line = source.lines().position(|line| line.contains(&format!("fn {name}")));
        let line = line.map(|line| format!(":{}", line + 1)).unwrap_or_default();
        found.push(format!("`#[{attribute}] fn {name}` ({}{line})", file.display()));
    })
    .into_iter()
    .for_each(|(file, folder)| found.extend(tests(&file, &folder)));
    found
}

/// Tells every test among the items; the result is the modules that have files, and where theirs are.
fn in_items(items: &[Item], folder: &Path, tell: &mut impl FnMut(&ItemFn, &str)) -> Vec<(PathBuf, PathBuf)> {
    let is_ours = items.iter().any(|item| matches!(item, Item::Use(item) if imports_test(&item.tree)));
    let mut files = Vec::new();
    for item in items {
        match item {
            Item::Fn(function) => {
                let foreign = function.attrs.iter().map(path).find(|path| FOREIGN.contains(&path.as_str()));
                if let Some(attribute) = foreign.filter(|path| path != "test" || !is_ours) {
                    tell(function, &attribute);
                }
            }
            Item::Mod(module) if module.attrs.iter().any(|attribute| attribute.path().is_ident("path")) => {}
            Item::Mod(module) => {
                let inner = folder.join(module.ident.to_string());
                match &module.content {
                    Some((_, items)) => files.extend(in_items(items, &inner, tell)),
                    None => {
                        files.push((inner.with_extension("rs"), inner.clone()));
                        files.push((inner.join("mod.rs"), inner));
                    }
                }
            }
            _ => {}
        }
    }
    files
}

/// Whether something is imported as `test`, so that `#[test]` means that.
fn imports_test(tree: &UseTree) -> bool {
    match tree {
        UseTree::Path(path) => imports_test(&path.tree),
        UseTree::Name(name) => name.ident == "test",
        UseTree::Rename(rename) => rename.rename == "test",
        UseTree::Group(group) => group.items.iter().any(imports_test),
        _ => false,
    }
}

fn path(attribute: &Attribute) -> String {
    let segments = attribute.path().segments.iter().map(|segment| segment.ident.to_string());
    segments.collect::<Vec<_>>().join("::")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str) -> Vec<String> {
        let file = syn::parse_file(source).expect("the snippet is Rust");
        let mut found = Vec::new();
        in_items(&file.items, Path::new("tests"), &mut |function, attribute| {
            found.push(format!("{attribute} {}", function.sig.ident));
        });
        found
    }

    #[test]
    fn foreign_tests_are_told_and_ours_are_not() {
        assert_eq!(
            found(
                "#[test] fn one() {} #[tokio::test] async fn two() {} #[logos_scenario::test] fn ours() {}"
            ),
            ["test one", "tokio::test two"]
        );
        assert_eq!(found("mod inner { #[test] #[ignore] fn one() {} } fn none() {}"), ["test one"]);
        assert_eq!(found("use logos_scenario::{prelude::*, test}; #[test] fn ours() {}"), [""; 0]);
    }

    #[test]
    fn modules_are_followed_to_their_files() {
        let file =
            syn::parse_file("mod one; mod two { mod three; } #[path = \"x.rs\"] mod four;").expect("Rust");
        let files: Vec<_> = in_items(&file.items, Path::new("tests"), &mut |_, _| {})
            .into_iter()
            .map(|(file, _)| file)
            .collect();
        let expected = ["tests/one.rs", "tests/one/mod.rs", "tests/two/three.rs", "tests/two/three/mod.rs"];
        assert_eq!(files, expected.map(PathBuf::from));
    }
}
