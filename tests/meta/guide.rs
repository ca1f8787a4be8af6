//! What the guide says is so: its code is compiled, and the files, settings and codes that it names exist.

use std::fs;
use std::path::PathBuf;

use logos_scenario::failure::index;
use logos_scenario::{Deployer, Failure, FailureClass};

use super::root;

/// A chapter: its file, and what is in it.
struct Chapter {
    path: PathBuf,
    text: String,
}

/// A block of code: the file that it is of, its language, its text.
struct Block<'a> {
    file: Option<&'a str>,
    language: &'a str,
    text: String,
}

fn chapters() -> Vec<Chapter> {
    let mut chapters = Vec::new();
    for folder in ["backends/docs", "backends/docs/extending", "runtime/docs"] {
        for entry in fs::read_dir(root().join(folder)).expect("the folder of the guide can be read") {
            let path = entry.expect("an entry can be read").path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&path).expect("a chapter is text");
                chapters.push(Chapter { path, text });
            }
        }
    }
    chapters
}

impl Chapter {
    fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks = Vec::new();
        let mut lines = self.text.lines();
        let mut before = "";
        while let Some(line) = lines.next() {
            if let Some(language) = line.strip_prefix("```") {
                let file = before.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
                let text: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
                blocks.push(Block { file, language, text: text.join("\n") });
            }
            before = line;
        }
        blocks
    }

    /// Everything between single backticks.
    fn spans(&self) -> impl Iterator<Item = &str> {
        self.text.split('`').skip(1).step_by(2)
    }
}

/// Fails with everything that is `wrong` with a chapter.
fn check(wrong: impl Fn(&Chapter) -> Vec<String>) {
    let all = chapters();
    assert!(all.len() > 10, "the guide has {} chapters", all.len());
    let told: Vec<_> = all
        .iter()
        .flat_map(|chapter| {
            wrong(chapter).into_iter().map(|what| format!("{}: {what}", chapter.path.display()))
        })
        .collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

#[test]
fn every_chapter_is_in_the_documentation() {
    let modules = ["backends/src/guide.rs", "runtime/src/failure/index.rs"]
        .map(|path| fs::read_to_string(root().join(path)).expect("the modules of the guide can be read"));
    check(|chapter| {
        let file = chapter.path.to_string_lossy();
        let path = file.split("/docs/").last().unwrap_or_default();
        let is_there = modules.iter().any(|text| text.contains(&format!("/docs/{path}\"")));
        if is_there { Vec::new() } else { vec!["no module includes it".to_owned()] }
    });
}

#[test]
fn code_that_is_not_compiled_is_that_of_a_file_that_is() {
    check(|chapter| {
        let wrong = |block: Block<'_>| match block.file {
            Some(file) => {
                let text = fs::read_to_string(root().join(file)).unwrap_or_default();
                (!text.contains(&block.text)).then(|| format!("{file} has not what is shown of it"))
            }
            None if block.language.contains("ignore") => Some(format!("is of no file:\n{}", block.text)),
            None => None,
        };
        chapter.blocks().into_iter().filter_map(wrong).collect()
    });
}

#[test]
fn recipes_are_yaml() {
    check(|chapter| {
        let yaml = chapter.blocks().into_iter().filter(|block| block.language == "yaml");
        yaml.filter_map(|block| serde_saphyr::from_str::<serde_json::Value>(&block.text).err())
            .map(|error| error.to_string())
            .collect()
    });
}

#[test]
fn files_that_are_named_exist() {
    check(|chapter| {
        let folders = ["tests/", "scripts/", "assets/", ".config/"];
        let is_path = |word: &&str| folders.iter().any(|folder| word.starts_with(folder));
        let words = chapter.text.split(|sign: char| sign.is_whitespace() || "`()<>,;\"".contains(sign));
        let missing =
            words.filter(is_path).filter(|path| !root().join(path.trim_end_matches(['.', ':'])).exists());
        missing.map(|path| format!("there is no {path}")).collect()
    });
}

#[test]
fn settings_that_are_named_exist() {
    let known: Vec<_> = logos_scenario::settings().map(|setting| setting.name).collect();
    check(|chapter| {
        let names = chapter.spans().map(|span| span.split('=').next().unwrap_or_default());
        let is_setting = |name: &&str| ["SCENARIO_", "NOMOS_"].iter().any(|prefix| name.starts_with(prefix));
        let unknown = names.filter(is_setting).filter(|name| !known.contains(name));
        unknown.map(|name| format!("there is no setting {name}")).collect()
    });
}

#[test]
fn backends_are_capable_of_what_the_guide_says() {
    let text = fs::read_to_string(root().join("backends/docs/backends.md")).expect("the chapter is there");
    let (_, table) = text.split_once("capable](").expect("it has the table");
    let mut rows = table.lines().filter(|line| line.starts_with("| "));
    let names = cells_of(rows.next().expect("it has a head"));
    let mut wrong = Vec::new();
    for backend in logos_scenario::backends() {
        let capabilities = serde_json::to_value(backend.capabilities()).expect("they are plain data");
        let column = names.iter().position(|name| *name == backend.name()).expect("it has each backend");
        for (name, is_capable) in capabilities.as_object().expect("they have names") {
            let row = table.lines().map(cells_of).find(|row| row.get(1) == Some(&name.as_str()));
            let said = row.and_then(|row| row.get(column).copied());
            let is = if is_capable == true { "yes" } else { "no" };
            if said != Some(is) {
                wrong.push(format!("{name} of {}: {is}, but the guide says {said:?}", backend.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn cells_of(row: &str) -> Vec<&str> {
    row.split('|').map(|cell| cell.trim().trim_matches('`')).collect()
}

/// The runtime's own failures have sections of their own; what is left to the section of the class is users'.
#[test]
fn every_failure_of_the_runtime_has_a_code_of_its_own() {
    let mut folders = vec![root().join("runtime/src")];
    let mut unknown = Vec::new();
    let mut found = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the sources can be read") {
            let path = entry.expect("an entry can be read").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).expect("a source file is text");
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            for call in text.split("Failure::new(FailureClass::").skip(1) {
                let Some((class, subject)) = named(call) else { continue };
                found += 1;
                if index::code(&Failure::new(class, subject)).ends_with("00") {
                    unknown.push(format!("{}: {class} `{subject}`", path.display()));
                }
            }
        }
    }
    assert!(found > 20, "only {found} failures were found");
    assert!(
        unknown.is_empty(),
        "failures without a section in runtime/docs/failures.md:\n{}",
        unknown.join("\n")
    );
}

/// The class and the subject of a failure that names them.
fn named(call: &str) -> Option<(FailureClass, &str)> {
    let (class, rest) = call.split_once(", \"")?;
    let class = match class {
        "Product" => FailureClass::Product,
        "Test" => FailureClass::Test,
        "Infrastructure" => FailureClass::Infrastructure,
        _ => return None,
    };
    Some((class, rest.split_once('"')?.0))
}
