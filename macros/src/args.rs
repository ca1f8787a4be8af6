//! What was written: every value with its place, nothing judged yet but its form.

use proc_macro2::{Delimiter, Group, Punct, Span, TokenStream, TokenTree};
use quote::{ToTokens, TokenStreamExt};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, Ident, Item, Path, Signature, TraitItem, Visibility};

/// The attribute and its function, as written. What cannot be read hides nothing of the rest.
pub(crate) struct Written {
    pub(crate) args: Vec<Arg>,
    pub(crate) function: Result<Function, Error>,
    pub(crate) malformed: Vec<Error>,
}

/// A function whose body stays as it was typed: the compiler reads it and tells what is wrong in there.
#[derive(Clone)]
pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
    pub(crate) body: Group,
}

/// `key = value`.
pub(crate) struct Arg {
    pub(crate) key: Ident,
    pub(crate) value: Value,
}

/// The right side of an argument.
pub(crate) enum Value {
    /// A literal, a list, a path, or anything else that stands for itself.
    Expr(Expr),
    /// What is no expression.
    Other(TokenStream),
    /// No `=`, but `(these)`.
    Called(TokenStream),
    /// Nothing: the key stands alone.
    Missing,
}

impl Arg {
    /// Where the value is, or where it is missing.
    pub(crate) fn place(&self) -> TokenStream {
        match &self.value {
            Value::Expr(expr) => expr.to_token_stream(),
            Value::Other(tokens) => tokens.clone(),
            Value::Called(_) | Value::Missing => self.key.to_token_stream(),
        }
    }
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        Ok(Self {
            attrs: input.call(Attribute::parse_outer)?,
            vis: input.parse()?,
            sig: input.parse()?,
            body: input.parse()?,
        })
    }
}

impl ToTokens for Function {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        tokens.append_all(&self.attrs);
        self.vis.to_tokens(tokens);
        self.sig.to_tokens(tokens);
        self.body.to_tokens(tokens);
    }
}

/// What `#[scenario]` is for.
pub(crate) const SCENARIO: &str = "#[scenario] goes on an `async fn` with a body";

/// Reads the attribute and its item, which is to be as `wanted`.
pub(crate) fn parse(args: TokenStream, item: &TokenStream, wanted: &str) -> Written {
    let mut malformed = Vec::new();
    let args = list(args, &mut malformed);
    let function = syn::parse2(item.clone()).map_err(|_| not_a_function(item, wanted));
    Written { args, function, malformed }
}

/// Arguments separated by commas; what cannot be read of them goes to `malformed`.
pub(crate) fn list(args: TokenStream, malformed: &mut Vec<Error>) -> Vec<Arg> {
    split(args, malformed)
        .iter()
        .filter_map(|tokens| arg(tokens).map_err(|error| malformed.push(error)).ok())
        .collect()
}

/// The arguments, one each, also where a comma was forgotten between `value` and `key =`.
fn split(args: TokenStream, errors: &mut Vec<Error>) -> Vec<Vec<TokenTree>> {
    let mut split = Vec::new();
    let mut current: Vec<TokenTree> = Vec::new();
    let mut tokens = args.into_iter().peekable();
    while let Some(token) = tokens.next() {
        if is(&token, ',') {
            if current.is_empty() {
                errors.push(Error::new(token.span(), "expected `key = value` before this comma"));
            }
            split.push(std::mem::take(&mut current));
            continue;
        }
        if !current.is_empty()
            && matches!(token, TokenTree::Ident(_))
            && tokens.peek().is_some_and(|next| is(next, '='))
        {
            errors.push(Error::new(token.span(), format!("expected a comma before `{token}`")));
            split.push(std::mem::take(&mut current));
        }
        current.push(token);
    }
    split.push(current);
    split.retain(|tokens| !tokens.is_empty());
    split
}

fn is(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if Punct::as_char(punct) == sign)
}

fn arg(tokens: &[TokenTree]) -> syn::Result<Arg> {
    let all: TokenStream = tokens.iter().cloned().collect();
    let Ok(key) = Ident::parse_any.parse2(tokens[0].clone().into()) else {
        let hint = "write `key = value`, as in `validators = 3`";
        return Err(Error::new_spanned(&all, format!("expected a key, found `{all}`; {hint}")));
    };
    let value = match tokens.get(1) {
        None => Value::Missing,
        Some(sign) if is(sign, '=') => value(&tokens[2..])
            .ok_or_else(|| Error::new(sign.span(), format!("expected a value for `{key}` after this `=`")))?,
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis && tokens.len() == 2 => {
            Value::Called(bare(group.stream()))
        }
        Some(other) => {
            return Err(Error::new(other.span(), format!("expected `=` after `{key}`, found `{other}`")));
        }
    };
    Ok(Arg { key, value })
}

fn value(tokens: &[TokenTree]) -> Option<Value> {
    let tokens: TokenStream = tokens.iter().cloned().collect();
    if tokens.is_empty() {
        return None;
    }
    Some(syn::parse2(bare(tokens.clone())).map_or(Value::Other(tokens), Value::Expr))
}

/// The tokens without the invisible groups that `macro_rules!` puts around what it matched.
fn bare(tokens: TokenStream) -> TokenStream {
    tokens
        .into_iter()
        .flat_map(|token| match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::None => bare(group.stream()),
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), bare(group.stream()));
                inner.set_span(group.span());
                TokenTree::Group(inner).into()
            }
            other => other.into(),
        })
        .collect()
}

/// A path without generic arguments, where the expression is one.
pub(crate) fn path(expr: &Expr) -> Option<&Path> {
    match expr {
        Expr::Path(path)
            if path.qself.is_none() && path.path.segments.iter().all(|it| it.arguments.is_none()) =>
        {
            Some(&path.path)
        }
        _ => None,
    }
}

fn not_a_function(item: &TokenStream, wanted: &str) -> Error {
    let (what, span) = match syn::parse2::<Item>(item.clone()) {
        Ok(Item::Struct(item)) => ("a struct", item.struct_token.span),
        Ok(Item::Enum(item)) => ("an enum", item.enum_token.span),
        Ok(Item::Mod(item)) => ("a module", item.mod_token.span),
        Ok(Item::Impl(item)) => ("an impl", item.impl_token.span),
        Ok(Item::Trait(item)) => ("a trait", item.trait_token.span),
        Ok(Item::Const(item)) => ("a constant", item.const_token.span),
        Ok(Item::Static(item)) => ("a static", item.static_token.span),
        Ok(Item::Type(item)) => ("a type alias", item.type_token.span),
        Ok(Item::Use(item)) => ("an import", item.use_token.span),
        _ => match syn::parse2::<TraitItem>(item.clone()) {
            Ok(TraitItem::Fn(item)) => ("a function without a body", item.sig.fn_token.span),
            _ => ("this item", first(item)),
        },
    };
    Error::new(span, format!("{wanted}, not on {what}"))
}

/// The first word of an item that is none we know.
fn first(item: &TokenStream) -> Span {
    let mut tokens = item.clone().into_iter();
    tokens
        .find(|token| !matches!(token, TokenTree::Punct(_) | TokenTree::Group(_)))
        .map_or_else(|| item.span(), |token| token.span())
}
