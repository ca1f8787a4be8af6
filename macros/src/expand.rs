//! What is emitted: the function as written and one registered constant. No logic is in it.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, FnArg, Ident, Path, ReturnType, Signature, parse_quote};

use crate::check::{Backend, Case, Counts, Settings, Wallets, Window};

/// The function and its registration. Neither is here where a `#[cfg]` does not hold: those come before any attribute
/// macro, wherever they are written.
pub(crate) fn expand(case: &Case) -> TokenStream {
    let mut function = case.function.clone();
    function.attrs.retain(|attribute| !attribute.path().is_ident("ignore"));
    function.attrs.push(lens());
    let (framework, import) = framework(case.settings.krate.as_ref());
    let name = function.sig.ident.unraw().to_string();
    let ignore = option(case.ignore.as_ref().map(|reason| quote!(#reason)), &framework);
    let args = args(&case.settings, &framework);
    let run = Ident::new("run", Span::mixed_site());
    let call = call(case, &run, &framework);
    let location = function.sig.ident.span();
    let place =
        quote_spanned!(location=> file: ::core::file!(), line: ::core::line!(), column: ::core::column!());
    quote! {
        #function
        const _: () = {
            #import
            #framework::inventory::submit! {
                #framework::CaseDef {
                    function: #name,
                    module: ::core::module_path!(),
                    package: ::core::env!("CARGO_PKG_NAME"),
                    #place,
                    ignore: #ignore,
                    args: #args,
                    body: |#run| #call,
                }
            }
        };
    }
}

/// The framework's name, and its import under this name.
pub(crate) fn framework(krate: Option<&Path>) -> (Ident, TokenStream) {
    let framework = Ident::new("__fw", Span::mixed_site());
    let krate = krate.map_or_else(|| quote!(::logos_scenario), |path| quote!(#path));
    let import = quote!(use #krate::__private as #framework;);
    (framework, import)
}

/// The item with everything that is wrong, so that its users see no error of their own.
pub(crate) fn with_errors(item: &TokenStream, errors: &syn::Error) -> TokenStream {
    let errors = errors.to_compile_error();
    quote!(#item #errors)
}

/// Makes rust-analyzer show its run lens: by its sources (`hir-def`, `match_attr_flags`) it looks at the last four
/// words of an attribute only. For the compiler `rust_analyzer` is a tool, whose attributes mean nothing; a
/// `cfg_attr(rust_analyzer, …)` would warn of an unexpected `cfg` in every crate that does not declare it.
pub(crate) fn lens() -> Attribute {
    parse_quote!(#[rust_analyzer::core::prelude::v1::test])
}

/// Calls the function so that a wrong argument is told at the argument, and a wrong return type at that.
fn call(case: &Case, run: &Ident, framework: &Ident) -> TokenStream {
    let signature = &case.function.sig;
    let function = &signature.ident;
    let at_argument = signature.inputs.first().map_or_else(
        || function.span(),
        |input| match input {
            FnArg::Typed(typed) => typed.ty.span(),
            FnArg::Receiver(receiver) => receiver.span(),
        },
    );
    let mut body = function.clone();
    body.set_span(at_argument.resolved_at(function.span()));
    let call = call_at_output(signature, framework, "call", &quote!(#body, #run));
    call_at_output(signature, framework, "outcome", &call)
}

/// A call that a compiler takes to be where the function's return type is: where its first and its last token are,
/// since only a nightly one joins spans.
pub(crate) fn call_at_output(
    signature: &Signature,
    framework: &Ident,
    callee: &str,
    arguments: &TokenStream,
) -> TokenStream {
    let output = match &signature.output {
        ReturnType::Default => signature.ident.to_token_stream(),
        ReturnType::Type(_, ty) => ty.to_token_stream(),
    };
    let mut spans = output.into_iter().map(|token| token.span().resolved_at(framework.span()));
    let first = spans.next().unwrap_or_else(|| framework.span());
    let last = spans.last().unwrap_or(first);
    let (framework, callee) = (Ident::new(&framework.to_string(), first), Ident::new(callee, first));
    let arguments = quote_spanned!(last=> (#arguments));
    quote!(#framework::#callee #arguments)
}

fn args(settings: &Settings, framework: &Ident) -> TokenStream {
    let counts = |counts: &Counts| {
        let values = &counts.values;
        quote!(&[#(#values),*])
    };
    let time = |time: &Duration| duration(*time, framework);
    let is_list = |counts: &Option<Counts>| counts.as_ref().is_some_and(|counts| counts.is_list);
    let matrix = is_list(&settings.validators) || is_list(&settings.executors);
    let variant = |ty: &str, variant: &str| {
        let (ty, variant) = (format_ident!("{ty}"), format_ident!("{variant}"));
        quote!(#framework::#ty::#variant)
    };
    let texts = |texts: &Vec<syn::LitStr>| quote!(&[#(#texts),*]);
    let some = |value: TokenStream| option(Some(value), framework);
    let fields: Vec<(&str, Option<TokenStream>)> = vec![
        ("validators", settings.validators.as_ref().map(counts)),
        ("executors", settings.executors.as_ref().map(counts)),
        ("matrix", matrix.then(|| quote!(true))),
        ("backends", settings.backends.as_ref().map(|all| backends(all, framework))),
        (
            "window",
            settings.window.as_ref().map(|window| match window {
                Window::Time(span) => {
                    let span = time(span);
                    quote!(#framework::Window::Time(#span))
                }
                Window::Blocks(blocks) => quote!(#framework::Window::Blocks(#blocks)),
            }),
        ),
        ("layout", settings.layout.map(|layout| variant("Layout", layout))),
        ("wallets", settings.wallets.as_ref().map(|wallets| some(accounts(wallets, framework)))),
        ("slot", settings.slot.as_ref().map(time)),
        ("active_slot_coeff", settings.active_slot_coeff.map(|value| quote!(#value))),
        ("security_param", settings.security_param.map(|value| quote!(#value))),
        ("topology", settings.topology.as_ref().map(|path| some(quote!(#path)))),
        ("sharing", settings.cluster.map(|sharing| some(variant("Sharing", sharing)))),
        ("node_control", settings.node_control.map(|on| quote!(#on))),
        ("faults", settings.faults.map(|on| quote!(#on))),
        ("seed", settings.seed.map(|seed| some(quote!(#seed)))),
        ("timeout", settings.timeout.as_ref().map(|timeout| some(time(timeout)))),
        ("until", settings.until.map(|until| variant("Until", until))),
        ("tags", settings.tags.as_ref().map(texts)),
        ("should_fail", settings.should_fail.as_ref().map(|text| some(quote!(#text)))),
    ];
    let silent = fields.iter().any(|(_, value)| value.is_none());
    // Where nothing is left to the defaults, clippy would warn of them in the user's crate.
    let defaults = silent.then(|| quote!(..#framework::CaseArgs::DEFAULT));
    let written = fields.into_iter().filter_map(|(name, value)| {
        let name = format_ident!("{name}");
        value.map(|value| quote!(#name: #value))
    });
    quote!(#framework::CaseArgs { #(#written,)* #defaults })
}

fn backends(backends: &[Backend], framework: &Ident) -> TokenStream {
    let backends = backends.iter().map(|backend| match backend {
        Backend::Named(name) => quote!(#framework::CaseBackend::Named(#name)),
        Backend::Own(path) => {
            let own = quote_spanned!(path.span()=> own_backend);
            quote!(#framework::CaseBackend::Own(|| #framework::#own(#path)))
        }
    });
    quote!(&[#(#backends),*])
}

fn accounts(wallets: &Wallets, framework: &Ident) -> TokenStream {
    let users = wallets.users;
    let funds = option(wallets.funds.map(|funds| quote!(#funds)), framework);
    quote!(#framework::Wallets { users: #users, funds: #funds })
}

fn duration(time: Duration, framework: &Ident) -> TokenStream {
    let (seconds, nanos) = (time.as_secs(), time.subsec_nanos());
    quote!(#framework::Duration::new(#seconds, #nanos))
}

pub(crate) fn option(value: Option<TokenStream>, framework: &Ident) -> TokenStream {
    value.map_or_else(|| quote!(#framework::None), |value| quote!(#framework::Some(#value)))
}
