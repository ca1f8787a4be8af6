//! What README says is so: its settings table is printed from the crates' tables, its codemap names what
//! exists. `UPDATE=1` writes the table anew.

use std::fmt::Write as _;
use std::fs;

use super::{root, updates};

const BEGIN: &str = "<!-- settings -->\n";
const END: &str = "<!-- /settings -->";

fn settings() -> String {
    let mut table = "| variable | default | meaning |\n|---|---|---|\n".to_owned();
    for setting in logos_scenario::settings() {
        writeln!(table, "| `{}` | {} | {} |", setting.name, setting.default, setting.meaning)
            .expect("a string can be written to");
    }
    table
}

#[test]
fn the_settings_table_is_the_crates_own() {
    let path = root().join("README.md");
    let readme = fs::read_to_string(&path).expect("README can be read");
    let (before, rest) = readme.split_once(BEGIN).expect("README marks where the settings begin");
    let (seen, after) = rest.split_once(END).expect("README marks where the settings end");
    if updates() {
        let text = [before, BEGIN, &settings(), END, after].concat();
        fs::write(&path, text).expect("README can be written");
    } else {
        assert_eq!(seen, settings(), "rewrite with UPDATE=1");
    }
}

#[test]
fn the_codemap_names_what_exists() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README can be read");
    let (_, codemap) = readme.split_once("## Codemap").expect("README has a codemap");
    let mut folder = root();
    let mut missing = Vec::new();
    for line in codemap.lines().filter(|line| line.starts_with("| `")) {
        let cell = line.trim_start_matches('|').split('|').next().unwrap_or_default();
        if cell.contains('/') {
            let path = cell.trim().trim_matches('`');
            folder = root().join(path);
            if !folder.is_dir() {
                missing.push(path.to_owned());
            }
            continue;
        }
        for module in cell.split('`').map(str::trim).filter(|name| !name.is_empty()) {
            if !folder.join(format!("src/{module}.rs")).is_file() {
                missing.push(format!("{}/src/{module}.rs", folder.display()));
            }
        }
    }
    assert!(missing.is_empty(), "README names what does not exist: {}", missing.join(", "));
}

#[test]
fn links_lead_to_files() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README can be read");
    let targets = readme.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let targets = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
    let missing: Vec<_> = targets.filter(|target| !root().join(target).exists()).collect();
    assert!(missing.is_empty(), "README links to what does not exist: {}", missing.join(", "));
}
