//! The in-tree node, as a program that the scenarios of this package start.

fn main() -> std::process::ExitCode {
    logos_scenario_devnode::main()
}
