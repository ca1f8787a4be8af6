//! What is allowed: each rule is a plain test of what was written, and all violations are told at once,
//! each on its token.

use std::fmt::Display;
use std::time::Duration;

use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{Attribute, Error, Expr, ExprLit, FnArg, Lit, LitStr, Path, Signature};

use crate::args::{Arg, Function, Written};

mod value;
use value::Place;

/// A scenario that is allowed.
pub(crate) struct Case {
    pub(crate) function: Function,
    pub(crate) ignore: Option<String>,
    pub(crate) settings: Settings,
}

/// What the attribute says; nothing where it is silent, so that the defaults have one place.
#[derive(Default)]
pub(crate) struct Settings {
    pub(crate) validators: Option<Counts>,
    pub(crate) executors: Option<Counts>,
    pub(crate) backends: Option<Vec<Backend>>,
    pub(crate) window: Option<Window>,
    pub(crate) layout: Option<&'static str>,
    pub(crate) wallets: Option<Wallets>,
    pub(crate) slot: Option<Duration>,
    pub(crate) active_slot_coeff: Option<f64>,
    pub(crate) security_param: Option<u32>,
    pub(crate) topology: Option<Path>,
    pub(crate) cluster: Option<&'static str>,
    pub(crate) node_control: Option<bool>,
    pub(crate) faults: Option<bool>,
    pub(crate) seed: Option<u64>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) until: Option<&'static str>,
    pub(crate) tags: Option<Vec<LitStr>>,
    pub(crate) should_fail: Option<LitStr>,
    pub(crate) krate: Option<Path>,
}

/// A count, or a list of them.
pub(crate) struct Counts {
    pub(crate) values: Vec<usize>,
    pub(crate) is_list: bool,
}

/// Where the nodes run.
pub(crate) enum Backend {
    Named(LitStr),
    /// A deployer of the user's, or a function that returns one.
    Own(Path),
}

/// Accounts, and what they have in all.
pub(crate) struct Wallets {
    pub(crate) users: usize,
    pub(crate) funds: Option<u64>,
}

/// For how long the chain is watched.
pub(crate) enum Window {
    Time(Duration),
    Blocks(u64),
}

pub(crate) const KEYS: &[&str] = &[
    "validators",
    "executors",
    "backend",
    "duration",
    "layout",
    "wallets",
    "slot",
    "active_slot_coeff",
    "security_param",
    "topology",
    "cluster",
    "node_control",
    "faults",
    "seed",
    "timeout",
    "until",
    "tags",
    "should_fail",
    "crate",
];
const BACKENDS: &[&str] = &["local", "compose", "k8s"];
/// Words that may be written, each with the variant it stands for.
type Words = &'static [(&'static str, &'static str)];
const LAYOUTS: Words = &[("star", "Star"), ("chain", "Chain"), ("full", "Full")];
const SHARINGS: Words = &[("shared", "Shared"), ("exclusive", "Exclusive"), ("fresh", "Fresh")];
const UNTILS: Words = &[("window", "Window"), ("satisfied", "Satisfied")];

/// Checks what was written.
pub(crate) fn check(written: Written) -> syn::Result<Case> {
    let Written { args, function, malformed } = written;
    let mut errors = Errors::default();
    malformed.into_iter().for_each(|error| errors.combine(error));
    keys(&args, &mut errors);
    let settings = settings(&args, &mut errors);
    sharing(&args, &settings, &mut errors);
    let function = errors.keep(function);
    if let Some(Function { attrs, sig, .. }) = &function {
        attributes(attrs, &mut errors);
        signature(sig, &mut errors);
    }
    let ignore = function.as_ref().and_then(|function| ignored(&function.attrs, &mut errors));
    match (function, errors.0) {
        (_, Some(errors)) => Err(errors),
        (Some(function), None) => Ok(Case { function, ignore, settings }),
        (None, None) => unreachable!("a function that cannot be read is an error"),
    }
}

fn settings(args: &[Arg], errors: &mut Errors) -> Settings {
    let mut settings = Settings::default();
    for arg in args {
        let at = Place { key: arg.key.unraw().to_string(), arg };
        match at.key.as_str() {
            "validators" => settings.validators = errors.keep(at.counts(1)),
            "executors" => settings.executors = errors.keep(at.counts(0)),
            "backend" => settings.backends = errors.keep(at.backends()),
            "duration" => settings.window = errors.keep(at.window()),
            "layout" => settings.layout = errors.keep(at.word("layouts", LAYOUTS)),
            "wallets" => settings.wallets = errors.keep(at.wallets()),
            "slot" => settings.slot = errors.keep(at.duration("500ms")),
            "active_slot_coeff" => settings.active_slot_coeff = errors.keep(at.coefficient()),
            "security_param" => settings.security_param = errors.keep(at.integer(1, "10")),
            "topology" => {
                settings.topology = errors.keep(at.path("a function: `topology = with_a_slow_node`"));
            }
            "cluster" => settings.cluster = errors.keep(at.word("values", SHARINGS)),
            "node_control" => settings.node_control = errors.keep(at.flag()),
            "faults" => settings.faults = errors.keep(at.flag()),
            "seed" => settings.seed = errors.keep(at.integer(0, "7")),
            "timeout" => settings.timeout = errors.keep(at.duration("5m")),
            "until" => settings.until = errors.keep(at.word("values", UNTILS)),
            "tags" => settings.tags = errors.keep(at.tags()),
            "should_fail" => settings.should_fail = errors.keep(at.should_fail()),
            "crate" => settings.krate = errors.keep(at.path("a path: `crate = my_crate::scenario`")),
            _ => {}
        }
    }
    settings
}

/// Violations, each on its token.
#[derive(Default)]
pub(crate) struct Errors(Option<Error>);

impl Errors {
    pub(crate) fn add(&mut self, at: impl ToTokens, text: impl Display) {
        self.combine(Error::new_spanned(at, text));
    }

    pub(crate) fn combine(&mut self, error: Error) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            none => *none = Some(error),
        }
    }

    pub(crate) fn keep<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.combine(error)).ok()
    }

    pub(crate) fn into_result(self) -> syn::Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

fn signature(signature: &Signature, errors: &mut Errors) {
    if signature.asyncness.is_none() {
        errors.add(signature.fn_token, "a scenario is an `async fn`: write `async` before this `fn`");
    }
    if let Some(constness) = &signature.constness {
        errors.add(constness, "a scenario cannot be `const`: it runs while nodes do");
    }
    if !signature.generics.params.is_empty() {
        errors.add(
            &signature.generics,
            "a scenario cannot be generic: the harness would not know for which types to run it",
        );
    }
    if let Some(clause) = &signature.generics.where_clause {
        errors.add(clause, "a scenario cannot have a `where` clause");
    }
    if !matches!(signature.safety, syn::Safety::Default) {
        errors.add(&signature.safety, "a scenario cannot be unsafe: the harness calls it");
    }
    if let Some(abi) = &signature.abi {
        errors.add(abi, "a scenario cannot have an ABI of its own");
    }
    for input in &signature.inputs {
        if let FnArg::Receiver(receiver) = input {
            errors.add(receiver, "a scenario is a free function: it cannot take `self`");
        }
    }
    if let Some(second) = signature.inputs.iter().nth(1) {
        errors.add(second, "a scenario takes no argument or one, `run: &mut Run`");
    }
    if let Some(variadic) = &signature.variadic {
        errors.add(variadic, "a scenario takes no argument or one, `run: &mut Run`");
    }
}

/// Attributes that would have a second harness run the function, or this one twice.
fn attributes(attributes: &[Attribute], errors: &mut Errors) {
    for attribute in attributes {
        let Some(last) = attribute.path().segments.last() else { continue };
        match last.ident.to_string().as_str() {
            "scenario" => errors.add(attribute, "a function is one scenario: merge the two attributes"),
            "test" => errors.add(attribute, "a scenario is a test already: remove this attribute"),
            "should_panic" => errors.add(
                attribute,
                "a panic fails a scenario: write `should_fail = \"its text\"` in #[scenario] instead",
            ),
            _ => {}
        }
    }
}

pub(crate) fn ignored(attributes: &[Attribute], errors: &mut Errors) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.path().is_ident("ignore"))?;
    match &attribute.meta {
        syn::Meta::Path(_) => Some(String::new()),
        syn::Meta::NameValue(pair) => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(reason), .. }) => Some(reason.value()),
            other => {
                errors.add(other, "expected the reason as text: `#[ignore = \"why\"]`");
                None
            }
        },
        syn::Meta::List(list) => {
            errors.add(list, "expected `#[ignore]` or `#[ignore = \"why\"]`");
            None
        }
    }
}

/// A shared cluster is one that nobody spoils for the others.
fn sharing(args: &[Arg], settings: &Settings, errors: &mut Errors) {
    let shared = settings.cluster == Some("Shared");
    let spoilers = [
        ("node_control", settings.node_control == Some(true), "stops nodes that others use"),
        ("faults", settings.faults == Some(true), "disturbs a network that others use"),
        ("should_fail", settings.should_fail.is_some(), "leaves a cluster that nobody can trust"),
    ];
    let Some(arg) = args.iter().find(|arg| shared && arg.key.unraw() == "cluster") else { return };
    for (key, _, why) in spoilers.iter().filter(|(_, written, _)| *written) {
        errors.add(
            arg.place(),
            format!(
                "`cluster` cannot be `shared` with `{key}`, which {why}; try `\"fresh\"`, or leave it out"
            ),
        );
    }
}

fn keys(args: &[Arg], errors: &mut Errors) {
    for (index, arg) in args.iter().enumerate() {
        let key = arg.key.unraw().to_string();
        if !KEYS.contains(&key.as_str()) {
            errors.add(
                &arg.key,
                format!("there is no key `{key}`{} keys are {}", meant(&key, KEYS), list(KEYS)),
            );
        } else if args[..index].iter().any(|earlier| earlier.key.unraw() == arg.key.unraw()) {
            errors.add(&arg.key, format!("`{key}` is given twice"));
        }
    }
}

/// `; did you mean …?` where something is near enough, else `;`.
fn meant(written: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(written, known), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len().max(written.len()) / 3 + 1);
    nearest.map_or_else(|| ";".to_owned(), |(_, known)| format!("; did you mean `{known}`?"))
}

fn list(known: &[&str]) -> String {
    known.iter().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", ")
}
