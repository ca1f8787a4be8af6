//! What the value of each key may be, and what is told of one that is wrong.

use std::fmt::Display;
use std::time::Duration;

use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{Error, Expr, ExprLit, Lit, LitBool, LitInt, LitStr, Path};

use super::{BACKENDS, Backend, Counts, Errors, Wallets, Window, Words, list, meant};
use crate::args::{self, Arg, Value};

/// One argument, and how to tell what is wrong with it.
pub(super) struct Place<'a> {
    pub(super) key: String,
    pub(super) arg: &'a Arg,
}

impl Place<'_> {
    fn wrong<T>(&self, at: impl ToTokens, text: impl Display) -> syn::Result<T> {
        Err(Error::new_spanned(at, format!("`{}` {text}", self.key)))
    }

    fn expected<T>(&self, what: &str) -> syn::Result<T> {
        self.wrong(self.arg.place(), format!("must be {what}"))
    }

    pub(super) fn path(&self, what: &str) -> syn::Result<Path> {
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

    pub(super) fn integer<T: TryFrom<u64>>(&self, least: u64, example: &str) -> syn::Result<T> {
        let what = format!("an integer from {least}: `{} = {example}`", self.key);
        let Some(Lit::Int(literal)) = self.literal() else { return self.expected(&what) };
        let value = plain::<u64>(literal).filter(|value| *value >= least);
        match value.and_then(|value| T::try_from(value).ok()) {
            Some(value) => Ok(value),
            None => self.expected(&what),
        }
    }

    pub(super) fn coefficient(&self) -> syn::Result<f64> {
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

    pub(super) fn counts(&self, least: usize) -> syn::Result<Counts> {
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
    pub(super) fn tags(&self) -> syn::Result<Vec<LitStr>> {
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

    pub(super) fn should_fail(&self) -> syn::Result<LitStr> {
        let text = self.text("the text of the failure: `should_fail = \"lost\"`")?;
        match text.value().trim().is_empty() {
            true => self
                .wrong(&text, "is empty, which every failure has in it; write a part of the failure's text"),
            false => Ok(text),
        }
    }

    pub(super) fn backends(&self) -> syn::Result<Vec<Backend>> {
        let what = "a name, the path of a deployer of yours, or a list of them: `backend = \"local\"` or `backend = [\"local\", MyDeployer]`";
        let Value::Expr(expr) = &self.arg.value else { return self.expected(what) };
        let elements: Vec<&Expr> = match expr {
            Expr::Array(array) if array.elems.is_empty() => {
                return self.wrong(expr, "has an empty list: it would make no case");
            }
            Expr::Array(array) => array.elems.iter().collect(),
            single => vec![single],
        };
        let mut backends = Vec::new();
        let mut errors = Errors::default();
        for (index, element) in elements.iter().enumerate() {
            let written = element.to_token_stream().to_string();
            if elements[..index].iter().any(|earlier| earlier.to_token_stream().to_string() == written) {
                errors.add(
                    element,
                    format!("`backend` has `{}` twice", written.trim_matches('"').replace(" :: ", "::")),
                );
            }
            backends.extend(errors.keep(self.backend(element, what)));
        }
        errors.into_result().map(|()| backends)
    }

    fn backend(&self, element: &Expr, what: &str) -> syn::Result<Backend> {
        if let Some(path) = args::path(element) {
            return Ok(Backend::Own(path.clone()));
        }
        let Expr::Lit(ExprLit { lit: Lit::Str(name), .. }) = element else {
            return self.wrong(element, format!("must be {what}"));
        };
        let text = name.value();
        if BACKENDS.contains(&text.as_str()) {
            return Ok(Backend::Named(name.clone()));
        }
        let known = format!("{} backends are {}", meant(&text, BACKENDS), list(BACKENDS));
        Err(Error::new_spanned(name, format!("there is no backend `{text}`{known}")))
    }

    /// A number of users, or `(users = …, funds = …)`.
    pub(super) fn wallets(&self) -> syn::Result<Wallets> {
        let what = "a number from 1, or users with funds in all: `wallets = 50` or `wallets(users = 50, funds = 5000)`";
        match &self.arg.value {
            Value::Called(tokens) => self.users_and_funds(tokens, what),
            Value::Expr(Expr::Lit(ExprLit { lit: Lit::Int(users), .. })) => {
                match plain::<usize>(users).filter(|users| *users > 0) {
                    Some(users) => Ok(Wallets { users, funds: None }),
                    None => self.expected(what),
                }
            }
            _ => self.expected(what),
        }
    }

    fn users_and_funds(&self, tokens: &proc_macro2::TokenStream, what: &str) -> syn::Result<Wallets> {
        const KEYS: &[&str] = &["users", "funds"];
        let mut malformed = Vec::new();
        let args = args::list(tokens.clone(), &mut malformed);
        let mut errors = Errors::default();
        malformed.into_iter().for_each(|error| errors.combine(error));
        let (mut users, mut funds) = (None, None);
        for (index, arg) in args.iter().enumerate() {
            let at = Place { key: arg.key.unraw().to_string(), arg };
            if args[..index].iter().any(|earlier| earlier.key.unraw() == at.key) {
                errors.add(&arg.key, format!("`{}` is given twice", at.key));
            }
            match at.key.as_str() {
                "users" => users = errors.keep(at.integer::<usize>(1, "50")),
                "funds" => funds = errors.keep(at.integer::<u64>(1, "5000")),
                other => errors.add(
                    &arg.key,
                    format!("`wallets` has no `{other}`{} it has {}", meant(other, KEYS), list(KEYS)),
                ),
            }
        }
        errors.into_result()?;
        match (users, funds) {
            (Some(users), Some(funds)) if funds < users as u64 => self.wrong(
                tokens,
                format!("gives {users} users {funds} units in all, which is not one each; `funds` is shared equally"),
            ),
            (Some(users), funds) => Ok(Wallets { users, funds }),
            (None, _) => self.expected(what),
        }
    }

    /// On where the key stands alone.
    pub(super) fn flag(&self) -> syn::Result<bool> {
        match (&self.arg.value, self.literal()) {
            (Value::Missing, _) => Ok(true),
            (_, Some(Lit::Bool(LitBool { value, .. }))) => Ok(*value),
            _ => self.expected(&format!("the word alone: `#[scenario({})]`", self.key)),
        }
    }

    pub(super) fn duration(&self, example: &str) -> syn::Result<Duration> {
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

    pub(super) fn window(&self) -> syn::Result<Window> {
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

    /// One of some words; the variant that it stands for. `kinds` is what all of them are.
    pub(super) fn word(&self, kinds: &str, words: Words) -> syn::Result<&'static str> {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let literal = self.text(&format!("one of {}: `{} = \"{}\"`", list(&names), self.key, names[0]))?;
        let text = literal.value();
        match words.iter().find(|(name, _)| *name == text) {
            Some((_, variant)) => Ok(variant),
            None => self
                .wrong(&literal, format!("is `{text}`{} {kinds} are {}", meant(&text, &names), list(&names))),
        }
    }
}

/// The value of an integer that is written without a suffix.
fn plain<T: std::str::FromStr<Err: Display>>(literal: &LitInt) -> Option<T> {
    literal.base10_parse().ok().filter(|_| literal.suffix().is_empty())
}
