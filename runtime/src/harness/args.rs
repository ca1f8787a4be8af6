//! Arguments that libtest accepts and libtest-mimic refuses, and the choice of cases.

use std::process::ExitCode;

use libtest_mimic::Arguments;

/// The command line, with everything that chooses cases taken out.
pub(super) struct Args {
    rest: Arguments,
    filters: Vec<String>,
    exact: bool,
    skip: Vec<String>,
}

/// Options whose value is an argument of its own.
const WITH_VALUE: &[&str] = &["--test-threads", "--logfile", "--color", "--format", "-Z", "--skip"];

/// Parses a command line as libtest would.
pub(super) fn parse(args: impl Iterator<Item = String>) -> Result<Args, ExitCode> {
    let mut filters = Vec::new();
    let mut kept = Vec::new();
    let mut args = args;
    kept.extend(args.next());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--no-capture" => kept.push("--nocapture".to_owned()),
            "--" => filters.extend(args.by_ref()),
            option if WITH_VALUE.contains(&option) => {
                kept.push(arg);
                kept.extend(args.next());
            }
            option if option.starts_with('-') => kept.push(arg),
            _ => filters.push(arg),
        }
    }
    let mut rest = Arguments::from_iter(kept);
    if rest.test_threads == Some(0) {
        eprintln!("error: argument for --test-threads must not be 0");
        return Err(ExitCode::from(101));
    }
    let (exact, skip) = (rest.exact, std::mem::take(&mut rest.skip));
    Ok(Args { rest, filters, exact, skip })
}

impl Args {
    /// What libtest-mimic is told so that it runs just the chosen of these cases, each given by its full
    /// name and its base name. Under `--exact` a full name wins over a base name.
    pub(super) fn select(self, cases: &[(String, String)]) -> Arguments {
        let Self { mut rest, filters, exact, skip } = self;
        let is_full = |filter: &String| cases.iter().any(|(name, _)| name == filter);
        let hit = |name: &str, base: &str, filter: &String| match exact {
            true if is_full(filter) => name == filter,
            true => base == filter,
            false => name.contains(filter.as_str()),
        };
        let chosen = |(name, base): &&(String, String)| {
            let wanted = filters.is_empty() || filters.iter().any(|filter| hit(name, base, filter));
            wanted && !skip.iter().any(|filter| hit(name, base, filter))
        };
        let left_out = cases.iter().filter(|case| !chosen(case)).map(|(name, _)| name.clone());
        rest.skip = left_out.collect();
        rest.exact = !rest.skip.is_empty();
        // Cases wait more than they compute; the budget of nodes bounds them. With one thread a line would be
        // begun before its case says anything.
        rest.test_threads = rest.test_threads.or(Some((cases.len() - rest.skip.len()).clamp(2, 64)));
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(line: &str) -> Vec<&'static str> {
        const CASES: [(&str, &str); 4] = [
            ("compose::bank::pay", "bank::pay"),
            ("local::bank::pay", "bank::pay"),
            ("local::bank::pay::v1e0", "bank::pay"),
            ("local::solo", "solo"),
        ];
        let cases = CASES.map(|(name, base)| (name.to_owned(), base.to_owned()));
        let args = std::iter::once("program").chain(line.split_whitespace()).map(str::to_owned);
        let arguments =
            parse(args).unwrap_or_else(|_| panic!("`{line}` is a good command line")).select(&cases);
        assert_eq!(arguments.filter, None);
        CASES
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| !arguments.skip.iter().any(|skip| skip == name))
            .collect()
    }

    #[test]
    fn filters_choose_as_in_libtest() {
        assert_eq!(selected("").len(), 4);
        assert_eq!(selected("compose:: solo"), ["compose::bank::pay", "local::solo"]);
        assert_eq!(selected("bank --skip v1e0 --skip compose"), ["local::bank::pay"]);
        assert_eq!(selected("--no-capture --test-threads 2 -- solo"), ["local::solo"]);
    }

    #[test]
    fn exact_takes_a_full_name_before_a_base_name() {
        assert_eq!(selected("--exact local::bank::pay"), ["local::bank::pay"]);
        assert_eq!(
            selected("--exact bank::pay"),
            ["compose::bank::pay", "local::bank::pay", "local::bank::pay::v1e0"]
        );
        assert_eq!(selected("--exact bank"), [""; 0]);
    }
}
