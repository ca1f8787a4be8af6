//! rustc: --cfg test
use logos_scenario::fake::FakeProgram;

#[test]
fn two_and_two() {
    assert_eq!(2 + 2, 4);
}

mod inner {
    #[test]
    #[should_panic]
    fn fails() {
        panic!();
    }

    #[logos_scenario::test]
    fn runs() {}
}

logos_scenario::main!(program = FakeProgram);
