//! What is allowed: each rule is a plain test of what was written, and all violations are told at once,
//! each on its token.

use std::fmt::Display;
use std::time::Duration;

use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{Attribute, Error, Expr, ExprLit, FnArg, Lit, LitInt, LitStr, Path, Signature};

use crate::args::{self, Arg, Function, Value, Written};

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
    pub(crate) backends: Option<Vec<LitStr>>,
    pub(crate) window: Option<Window>,
    pub(crate) layout: Option<&'static str>,
    pub(crate) slot: Option<Duration>,
    pub(crate) active_slot_coeff: Option<f64>,
    pub(crate) security_param: Option<u32>,
    pub(crate) topology: Option<Path>,
    pub(crate) seed: Option<u64>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) tags: Option<Vec<LitStr>>,
    pub(crate) should_fail: Option<LitStr>,
    pub(crate) krate: Option<Path>,
}

/// A count, or a list of them.
pub(crate) struct Counts {
    pub(crate) values: Vec<usize>,
    pub(crate) is_list: bool,
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
    "slot",
    "active_slot_coeff",
    "security_param",
    "topology",
    "seed",
    "timeout",
    "tags",
    "should_fail",
    "crate",
];
/// Keys that are known, but do nothing yet.
const LATER: &[&str] = &["wallets", "cluster", "node_control", "faults", "until"];
const BACKENDS: &[&str] = &["local", "compose", "k8s"];
const LAYOUTS: &[(&str, &str)] = &[("star", "Star"), ("chain", "Chain"), ("full", "Full")];

/// Checks what was written.
pub(crate) fn check(written: Written) -> syn::Result<Case> {
    let Written { args, function, malformed } = written;
    let mut errors = Errors::default();
    malformed.into_iter().for_each(|error| errors.combine(error));
    keys(&args, &mut errors);
    let settings = settings(&args, &mut errors);
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
            "layout" => settings.layout = errors.keep(at.layout()),
            "slot" => settings.slot = errors.keep(at.duration("500ms")),
            "active_slot_coeff" => settings.active_slot_coeff = errors.keep(at.coefficient()),
            "security_param" => settings.security_param = errors.keep(at.integer(1, "10")),
            "topology" => {
                settings.topology = errors.keep(at.path("a function: `topology = with_a_slow_node`"));
            }
            "seed" => settings.seed = errors.keep(at.integer(0, "7")),
            "timeout" => settings.timeout = errors.keep(at.duration("5m")),
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
struct Errors(Option<Error>);

impl Errors {
    fn add(&mut self, at: impl ToTokens, text: impl Display) {
        self.combine(Error::new_spanned(at, text));
    }

    fn combine(&mut self, error: Error) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            none => *none = Some(error),
        }
    }

    fn keep<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.combine(error)).ok()
    }

    fn into_result(self) -> syn::Result<()> {
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

fn ignored(attributes: &[Attribute], errors: &mut Errors) -> Option<String> {
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

fn keys(args: &[Arg], errors: &mut Errors) {
    for (index, arg) in args.iter().enumerate() {
        let key = arg.key.unraw().to_string();
        if LATER.contains(&key.as_str()) {
            errors.add(&arg.key, format!("`{key}` is not available yet; keys are {}", list(KEYS)));
        } else if !KEYS.contains(&key.as_str()) {
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

/// One argument, and how to tell what is wrong with it.
struct Place<'a> {
    key: String,
    arg: &'a Arg,
}

impl Place<'_> {
    fn wrong<T>(&self, at: impl ToTokens, text: impl Display) -> syn::Result<T> {
        Err(Error::new_spanned(at, format!("`{}` {text}", self.key)))
    }

    fn expected<T>(&self, what: &str) -> syn::Result<T> {
        self.wrong(self.arg.place(), format!("must be {what}"))
    }

    fn path(&self, what: &str) -> syn::Result<Path> {
        match &self.arg.value {
            Value::Expr(expr) => args::path(expr).cloned().map_or_else(|| self.expected(what), Ok),
            _ => self.expected(what),
        }
    }

    fn literal(&self) -> Option<&Lit> {
        match &self.arg.value {
            Value::Expr(Expr::Lit(ExprLit { lit, .. })) => Some(lit),
            _ => None,
        }
    }

    fn text(&self, what: &str) -> syn::Result<LitStr> {
        match self.literal() {
            Some(Lit::Str(text)) if text.suffix().is_empty() => Ok(text.clone()),
            _ => self.expected(what),
        }
    }

    fn integer<T: TryFrom<u64>>(&self, least: u64, example: &str) -> syn::Result<T> {
        let what = format!("an integer from {least}: `{} = {example}`", self.key);
        let Some(Lit::Int(literal)) = self.literal() else { return self.expected(&what) };
        let value = plain::<u64>(literal).filter(|value| *value >= least);
        match value.and_then(|value| T::try_from(value).ok()) {
            Some(value) => Ok(value),
            None => self.expected(&what),
        }
    }

    fn coefficient(&self) -> syn::Result<f64> {
        let what = "a probability above 0 and at most 1: `active_slot_coeff = 0.9`";
        let value = match self.literal() {
            Some(Lit::Float(value)) if value.suffix().is_empty() => value.base10_parse::<f64>().ok(),
            Some(Lit::Int(value)) => plain::<f64>(value),
            _ => None,
        };
        match value {
            Some(value) if value > 0.0 && value <= 1.0 => Ok(value),
            _ => self.expected(what),
        }
    }

    fn counts(&self, least: usize) -> syn::Result<Counts> {
        let what = format!("a number from {least}, or a list of them: `{0} = 3` or `{0} = [1, 3]`", self.key);
        let Value::Expr(expr) = &self.arg.value else { return self.expected(&what) };
        let (elements, is_list): (Vec<&Expr>, bool) = match expr {
            Expr::Array(array) => (array.elems.iter().collect(), true),
            single => (vec![single], false),
        };
        if elements.is_empty() {
            return self.wrong(expr, "has an empty list: it would make no case");
        }
        let mut values = Vec::new();
        let mut errors = Errors::default();
        for element in elements {
            let value = match element {
                Expr::Lit(ExprLit { lit: Lit::Int(value), .. }) => plain::<usize>(value),
                _ => None,
            };
            match value {
                Some(value) if value < least => {
                    errors.add(
                        element,
                        format!("`{}` is {value}, but a chain needs at least {least}", self.key),
                    );
                }
                Some(value) if values.contains(&value) => {
                    errors.add(
                        element,
                        format!("`{}` has {value} twice: the cases would have one name", self.key),
                    );
                }
                Some(value) => values.push(value),
                None => errors.add(element, format!("`{}` must be {what}", self.key)),
            }
        }
        errors.into_result().map(|()| Counts { values, is_list })
    }

    fn texts(&self, what: &str) -> syn::Result<Vec<LitStr>> {
        let Value::Expr(Expr::Array(array)) = &self.arg.value else { return self.expected(what) };
        let mut texts = Vec::new();
        let mut errors = Errors::default();
        for element in &array.elems {
            match element {
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => texts.push(text.clone()),
                other => errors.add(other, format!("`{}` must be {what}", self.key)),
            }
        }
        errors.into_result().map(|()| texts)
    }

    /// Words that can be written in `SCENARIO_TAGS=smoke,!slow`.
    fn tags(&self) -> syn::Result<Vec<LitStr>> {
        let tags = self.texts("a list of words: `tags = [\"smoke\"]`")?;
        let mut errors = Errors::default();
        for (index, tag) in tags.iter().enumerate() {
            let text = tag.value();
            if text.is_empty() || text.contains(|sign: char| sign.is_whitespace() || ",!".contains(sign)) {
                errors.add(
                    tag,
                    format!("`tags` has `{text}`, which nothing could select: a tag is one word without `,` and `!`"),
                );
            } else if tags[..index].iter().any(|earlier| earlier.value() == text) {
                errors.add(tag, format!("`tags` has `{text}` twice"));
            }
        }
        errors.into_result().map(|()| tags)
    }

    fn should_fail(&self) -> syn::Result<LitStr> {
        let text = self.text("the text of the failure: `should_fail = \"lost\"`")?;
        match text.value().trim().is_empty() {
            true => self
                .wrong(&text, "is empty, which every failure has in it; write a part of the failure's text"),
            false => Ok(text),
        }
    }

    fn backends(&self) -> syn::Result<Vec<LitStr>> {
        let what = "a name or a list of names: `backend = \"local\"` or `backend = [\"local\", \"compose\"]`";
        let names = match &self.arg.value {
            Value::Expr(expr @ Expr::Path(_)) => {
                let known = list(BACKENDS);
                return self.wrong(
                    expr,
                    format!("is a path: deployers of your own are not available yet; backends are {known}"),
                );
            }
            _ => match self.literal() {
                Some(Lit::Str(name)) => vec![name.clone()],
                _ => self.texts(what)?,
            },
        };
        let mut errors = Errors::default();
        if names.is_empty() {
            errors.add(self.arg.place(), "`backend` has an empty list: it would make no case");
        }
        for (index, name) in names.iter().enumerate() {
            let text = name.value();
            if !BACKENDS.contains(&text.as_str()) {
                let known = format!("{} backends are {}", meant(&text, BACKENDS), list(BACKENDS));
                errors.add(name, format!("there is no backend `{text}`{known}"));
            }
            if names[..index].iter().any(|earlier| earlier.value() == text) {
                errors.add(name, format!("`backend` has `{text}` twice"));
            }
        }
        errors.into_result().map(|()| names)
    }

    fn duration(&self, example: &str) -> syn::Result<Duration> {
        let literal = self.text(&format!("a time as text: `{} = \"{example}\"`", self.key))?;
        self.parsed(&literal, example)
    }

    fn parsed(&self, literal: &LitStr, example: &str) -> syn::Result<Duration> {
        let text = literal.value();
        match humantime::parse_duration(&text) {
            Ok(time) if time.is_zero() => self.wrong(literal, format!("is zero; try `\"{example}\"`")),
            Ok(time) => Ok(time),
            Err(_) if !text.is_empty() && text.chars().all(|digit| digit.is_ascii_digit()) => {
                self.wrong(literal, format!("is `{text}`, which has no unit; try `\"{text}s\"`"))
            }
            Err(_) => self.wrong(literal, format!("is `{text}`, which is no time; try `\"{example}\"`")),
        }
    }

    fn window(&self) -> syn::Result<Window> {
        let literal =
            self.text("a time or a number of blocks: `duration = \"90s\"` or `duration = \"30 blocks\"`")?;
        let text = literal.value();
        let Some(count) = text.strip_suffix("blocks").or_else(|| text.strip_suffix("block")) else {
            return self.parsed(&literal, "90s").map(Window::Time);
        };
        match count.trim().parse() {
            Ok(0) => self.wrong(&literal, "is no block; try `\"30 blocks\"`"),
            Ok(blocks) => Ok(Window::Blocks(blocks)),
            Err(_) => self
                .wrong(&literal, format!("is `{text}`, which is no number of blocks; try `\"30 blocks\"`")),
        }
    }

    fn layout(&self) -> syn::Result<&'static str> {
        let names: Vec<&str> = LAYOUTS.iter().map(|(name, _)| *name).collect();
        let literal = self.text(&format!("one of {}: `layout = \"star\"`", list(&names)))?;
        let text = literal.value();
        match LAYOUTS.iter().find(|(name, _)| *name == text) {
            Some((_, variant)) => Ok(variant),
            None => self
                .wrong(&literal, format!("is `{text}`{} layouts are {}", meant(&text, &names), list(&names))),
        }
    }
}

/// The value of an integer that is written without a suffix.
fn plain<T: std::str::FromStr<Err: Display>>(literal: &LitInt) -> Option<T> {
    literal.base10_parse().ok().filter(|_| literal.suffix().is_empty())
}
