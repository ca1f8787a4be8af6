//! `#[test]` of programs that run scenarios: the function as written and one registered constant.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;

use crate::args::{self, Value};
use crate::check::{self, Errors};
use crate::expand::{framework, is_condition, lens, option};

/// The attribute on any token stream.
pub(crate) fn expanded(args: TokenStream, item: &TokenStream) -> syn::Result<TokenStream> {
    let written = args::parse(args, item);
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
    let ignore = check::ignored(&function.attrs, &mut errors);
    errors.into_result()?;

    function.attrs.retain(|attribute| !attribute.path().is_ident("ignore"));
    let conditions: Vec<_> =
        function.attrs.iter().filter(|attribute| is_condition(attribute)).cloned().collect();
    function.attrs.push(lens());
    let (framework, import) = framework(krate);
    let name = &function.sig.ident;
    let text = name.unraw().to_string();
    let ignore = option(ignore.map(|reason| quote!(#reason)), &framework);
    let run = if function.sig.asyncness.is_some() { quote!(run_plain_async) } else { quote!(run_plain) };
    Ok(quote! {
        #function
        #(#conditions)*
        const _: () = {
            #import
            #framework::inventory::submit! {
                #framework::PlainTest {
                    function: #text,
                    module: ::core::module_path!(),
                    ignore: #ignore,
                    body: || #framework::#run(#name),
                }
            }
        };
    })
}
