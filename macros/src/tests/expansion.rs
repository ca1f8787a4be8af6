//! What the snippets in `expansions/*.rs` become, as `expansions/*.expanded` says.

use super::{check_goldens, parsed};

#[test]
fn the_function_stays_and_one_constant_is_registered() {
    check_goldens("expansions", "expanded", |name, source| {
        let (arguments, item) = parsed(source);
        let emitted = crate::expanded(arguments, &item);
        let file = syn::parse2(emitted).expect("what is emitted is Rust");
        let text = prettyplease::unparse(&file);
        let (_, constant) = text.split_once("const _").expect("a constant is emitted");
        assert!(constant.lines().count() <= 20, "{name} registers in more than 20 lines:\n{constant}");
        text
    });
}
