//! The project's own tests: the scenario suite, conformance, and the runner examples.
