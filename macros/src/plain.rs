//! `#[test]` of programs that run scenarios: the function as written and one registered constant.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::Attribute;
use syn::ext::IdentExt;

use crate::args::{self, Value};
use crate::check::{self, Errors};
use crate::expand::{call_at_output, framework, lens, option};

/// The attribute on any token stream.
pub(crate) fn expanded(args: TokenStream, item: &TokenStream) -> syn::Result<TokenStream> {
    let written = args::parse(args, item, "#[test] goes on a function with a body");
    let mut errors = Errors::default();
    written.malformed.into_iter().for_each(|error| errors.combine(error));
    let mut krate = None;
    for arg in &written.args {
        match &arg.value {
            Value::Expr(expr) if arg.key == "crate" && args::path(expr).is_some() => krate = args::path(expr),
            _ => {
                let what = "#[test] takes nothing, or the path of the framework: `crate = path`";
                errors.add(arg.place(), what);
            }
        }
    }
    let mut function = match written.function {
        Ok(function) => function,
        Err(error) => {
            errors.combine(error);
            return errors.into_result().map(|()| item.clone());
        }
    };
    if let Some(input) = function.sig.inputs.first() {
        errors.add(input, "a test takes no argument; `#[scenario]` has `run: &mut Run`");
    }
    if !function.sig.generics.params.is_empty() {
        errors.add(&function.sig.generics, "a test cannot be generic");
    }
    if !matches!(function.sig.safety, syn::Safety::Default) {
        errors.add(&function.sig.safety, "a test cannot be unsafe: the harness calls it");
    }
    attributes(&function.attrs, &mut errors);
    let ignore = check::ignored(&function.attrs, &mut errors);
    errors.into_result()?;

    function.attrs.retain(|attribute| !attribute.path().is_ident("ignore"));
    function.attrs.push(lens());
    let (framework, import) = framework(krate);
    let name = &function.sig.ident;
    let location = name.span();
    let place =
        quote_spanned!(location=> file: ::core::file!(), line: ::core::line!(), column: ::core::column!());
    let text = name.unraw().to_string();
    let ignore = option(ignore.map(|reason| quote!(#reason)), &framework);
    let call = if function.sig.asyncness.is_some() { "awaited" } else { "called" };
    let call = call_at_output(&function.sig, &framework, call, &quote!(#name));
    let outcome = call_at_output(&function.sig, &framework, "plain_outcome", &call);
    Ok(quote! {
        #function
        const _: () = {
            #import
            #framework::inventory::submit! {
                #framework::PlainTest {
                    function: #text,
                    module: ::core::module_path!(),
                    #place,
                    ignore: #ignore,
                    body: || #outcome,
                }
            }
        };
    })
}

/// Attributes that mean something to libtest alone.
fn attributes(attributes: &[Attribute], errors: &mut Errors) {
    for attribute in attributes {
        let Some(last) = attribute.path().segments.last() else { continue };
        match last.ident.to_string().as_str() {
            "scenario" | "test" => errors.add(attribute, "a function is one test: remove this attribute"),
            "should_panic" => errors.add(
                attribute,
                "a panic fails a test here: catch it with `std::panic::catch_unwind` and look at what it says",
            ),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(args: &str, item: &str) -> Vec<String> {
        let [args, item] = [args, item].map(|text| text.parse().expect("it has tokens"));
        let errors = expanded(args, &item).err();
        errors.map_or_else(Vec::new, |errors| errors.into_iter().map(|error| error.to_string()).collect())
    }

    #[test]
    fn mistakes_are_told_all_at_once() {
        assert_eq!(told("", "#[ignore = \"why\"] pub async fn fine() {}"), [""; 0]);
        assert_eq!(told("", "struct None;"), ["#[test] goes on a function with a body, not on a struct"]);
        assert_eq!(
            told("seed = 7", "#[should_panic] #[tokio::test] unsafe fn all<T>(_: T) {}"),
            [
                "#[test] takes nothing, or the path of the framework: `crate = path`",
                "a test takes no argument; `#[scenario]` has `run: &mut Run`",
                "a test cannot be generic",
                "a test cannot be unsafe: the harness calls it",
                "a panic fails a test here: catch it with `std::panic::catch_unwind` and look at what it says",
                "a function is one test: remove this attribute",
            ]
        );
    }
}
