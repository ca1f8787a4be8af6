//! The in-tree node, as a program that scenarios start, and of which images are made.

fn main() -> std::process::ExitCode {
    logos_scenario_devnode::main()
}
