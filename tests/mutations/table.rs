//! README's table is printed from the rows; `UPDATE=1` writes it anew.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::rows::rows;

const BEGIN: &str = "<!-- mutations -->\n";
const END: &str = "<!-- /mutations -->";

fn table() -> String {
    let mut table = "| what is wrong | first to fail | class |\n|---|---|---|\n".to_owned();
    for row in rows() {
        let caught = row.caught.as_ref();
        // A name may have a pattern in backticks.
        let by = caught.map_or("nothing", |caught| caught.by.split(' ').next().unwrap_or_default());
        let class = caught.map_or("–".to_owned(), |caught| caught.class.to_string());
        writeln!(table, "| {} | {by} | {class} |", row.name).expect("a string can be written to");
    }
    table
}

#[test]
fn the_table_of_the_readme_is_that_of_the_rows() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(&path).expect("README can be read");
    let (before, rest) = readme.split_once(BEGIN).expect("README marks where the table begins");
    let (seen, after) = rest.split_once(END).expect("README marks where the table ends");
    if std::env::vars().any(|(name, value)| name == "UPDATE" && value == "1") {
        let text = [before, BEGIN, &table(), END, after].concat();
        fs::write(&path, text).expect("README can be written");
    } else {
        assert_eq!(seen, table(), "rewrite with UPDATE=1");
    }
}
