//! What `--list` prints: what libtest does, in each of its formats.

use std::io::Write;

use libtest_mimic::{Arguments, FormatSetting};
use serde_json::Value;

/// A case or a plain test that is chosen.
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    pub(super) function: &'static str,
    pub(super) file: &'static str,
    pub(super) line: u32,
    pub(super) column: u32,
    /// Why it is ignored, if it is.
    pub(super) ignored: Option<String>,
}

/// Prints a list, and nothing else where programs read it; why something is ignored goes to stderr.
pub(super) fn print(mut entries: Vec<Entry<'_>>, arguments: &Arguments) {
    if arguments.ignored {
        entries.retain(|entry| entry.ignored.is_some());
        for (entry, reason) in entries.iter().filter_map(|entry| Some((entry, entry.ignored.as_ref()?))) {
            eprintln!("note: {} is ignored: {reason}", entry.name);
        }
    }
    // Whoever reads only the beginning closes the pipe.
    let _ = std::io::stdout().write_all(text(&entries, arguments).as_bytes());
}

fn text(entries: &[Entry<'_>], arguments: &Arguments) -> String {
    let format = if arguments.quiet { FormatSetting::Terse } else { arguments.format.unwrap_or_default() };
    let names = || entries.iter().map(|entry| format!("{}: test\n", entry.name)).collect::<String>();
    let count = entries.len();
    match format {
        FormatSetting::Terse => names(),
        FormatSetting::Pretty => {
            let (between, plural) = (if count == 0 { "" } else { "\n" }, if count == 1 { "" } else { "s" });
            format!("{}{between}{count} test{plural}, 0 benchmarks\n", names())
        }
        FormatSetting::Json => {
            let ignored = entries.iter().filter(|entry| entry.ignored.is_some()).count();
            format!(
                "{{ \"type\": \"suite\", \"event\": \"discovery\" }}\n{}\
                 {{ \"type\": \"suite\", \"event\": \"completed\", \"tests\": {count}, \"benchmarks\": 0, \
                 \"total\": {count}, \"ignored\": {ignored} }}\n",
                entries.iter().map(discovered).collect::<String>()
            )
        }
    }
}

fn discovered(entry: &Entry<'_>) -> String {
    let Entry { function, line, column, ignored, .. } = entry;
    let [name, file] = [entry.name, entry.file].map(Value::from);
    let (ignore, why) = (ignored.is_some(), Value::from(ignored.as_deref().unwrap_or_default()));
    let end = *column as usize + function.chars().count();
    format!(
        "{{ \"type\": \"test\", \"event\": \"discovered\", \"name\": {name}, \"ignore\": {ignore}, \
         \"ignore_message\": {why}, \"source_path\": {file}, \"start_line\": {line}, \"start_col\": {column}, \
         \"end_line\": {line}, \"end_col\": {end} }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &'static str, ignored: Option<&str>) -> Entry<'static> {
        let ignored = ignored.map(str::to_owned);
        Entry { name, function: "solo", file: "tests/one.rs", line: 3, column: 12, ignored }
    }

    /// As nightly's libtest prints them.
    #[test]
    fn each_format_is_libtests() {
        let entries = [entry("local::solo", None), entry("local::other", Some("say \"why\""))];
        let listed = |count, format| {
            text(&entries[..count], &Arguments { format: Some(format), ..Arguments::default() })
        };
        let names = "local::solo: test\nlocal::other: test\n";
        assert_eq!(listed(2, FormatSetting::Terse), names);
        assert_eq!(text(&entries, &Arguments { quiet: true, ..Arguments::default() }), names);
        assert_eq!(text(&entries, &Arguments::default()), format!("{names}\n2 tests, 0 benchmarks\n"));
        assert_eq!(listed(1, FormatSetting::Pretty), "local::solo: test\n\n1 test, 0 benchmarks\n");
        assert_eq!(listed(0, FormatSetting::Pretty), "0 tests, 0 benchmarks\n");
        assert_eq!(
            listed(2, FormatSetting::Json),
            r#"{ "type": "suite", "event": "discovery" }
{ "type": "test", "event": "discovered", "name": "local::solo", "ignore": false, "ignore_message": "", "source_path": "tests/one.rs", "start_line": 3, "start_col": 12, "end_line": 3, "end_col": 16 }
{ "type": "test", "event": "discovered", "name": "local::other", "ignore": true, "ignore_message": "say \"why\"", "source_path": "tests/one.rs", "start_line": 3, "start_col": 12, "end_line": 3, "end_col": 16 }
{ "type": "suite", "event": "completed", "tests": 2, "benchmarks": 0, "total": 2, "ignored": 1 }
"#
        );
    }
}
