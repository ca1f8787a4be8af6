//! The program in the image `logos-scenario-relay`.

fn main() -> std::process::ExitCode {
    logos_scenario::relay(std::env::args())
}
