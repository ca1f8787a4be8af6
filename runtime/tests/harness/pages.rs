//! The pages that explain runs, looked at by a browser too where there is one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::{Failed, Trial};

use super::{Check, INNER, command, has, has_not, inner, same, text};

pub(crate) const CHECKS: &[Check] = &[
    ("each_run_has_a_page_and_all_an_index", each_run_has_a_page),
    ("pages_are_made_again_on_demand", pages_are_made_again),
    ("runs_are_judged_again_by_other_bounds", judged_by_other_bounds),
    ("runs_with_chaos_are_judged_again", judged_with_chaos),
    ("what_takes_a_living_cluster_is_not_judged_again", not_judged_without_a_cluster),
    ("no_output_has_a_secret", no_output_has_a_secret),
    ("github_is_told_of_failures", github_is_told),
];

const CASE: &str = "compose::scenarios::chains::stand_still";

/// What takes a browser, ignored where there is none.
pub(crate) fn in_a_browser() -> Trial {
    let browser = browser();
    let (missing, name) = (browser.is_none(), "a_browser_draws_charts_and_logs");
    let trial = Trial::test(name, move || browser.map_or(Ok(()), |browser| is_drawn(&browser)));
    if missing { trial.with_kind("no chromium").with_ignored_flag(true) } else { trial }
}

/// Runs a case that fails; its page.
fn failed() -> Result<PathBuf, Failed> {
    let printed = text(&inner(&["--exact", CASE], &[]).stdout);
    let line = printed.lines().find_map(|line| line.strip_prefix("report: "));
    Ok(line.ok_or_else(|| format!("no page is named in:\n{printed}"))?.into())
}

fn directory(page: &Path) -> &Path {
    page.parent().expect("a page is in a directory")
}

fn index(page: &Path) -> PathBuf {
    directory(page).join("../../index.html")
}

fn each_run_has_a_page() -> Result<(), Failed> {
    let path = failed()?;
    let page = fs::read_to_string(&path)?;
    has(&page, &[CASE, "failed", "ConsensusLiveness", "every node to grow by at least ", "SCENARIO_SEED="])?;
    for outside in ["src=\"http", "href=\"http", "@import", "url(http"] {
        has_not(&page, outside)?;
    }
    let of_all = fs::read_to_string(index(&path))?;
    has(&of_all, &[CASE, "1 failed", "compose.scenarios.chains.stand_still/1/report.html"])
}

fn pages_are_made_again() -> Result<(), Failed> {
    let path = failed()?;
    let (page, all) = (fs::read_to_string(&path)?, fs::read_to_string(index(&path))?);
    fs::remove_file(&path)?;
    fs::remove_file(index(&path))?;
    let invocation = directory(&path).join("../..");
    let output = inner(&["--render", &invocation.to_string_lossy()], &[]);
    same(output.status.code(), Some(0))?;
    same(text(&output.stdout).lines().count(), 2)?;
    same(fs::read_to_string(&path)? == page, true)?;
    has(&fs::read_to_string(index(&path))?, &["1 failed"])?;
    has(&all, &["1 failed"])?;
    let output = inner(&["--render", "/nowhere"], &[]);
    same(output.status.code(), Some(1))?;
    has(&text(&output.stderr), &["/nowhere/report.json cannot be read", "see the line `files:`"])
}

/// Runs a case; the folder of its run, which is in one that is named after time and process.
fn folder_of(case: &str, env: &[(&str, &str)]) -> Result<String, Failed> {
    let mut command = command(&[INNER, "--exact", case], env);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let process = format!("-{}", child.id());
    let output = child.wait_with_output()?;
    let program = std::env::current_exe()?;
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    let all = fs::read_dir(target.ok_or("there is no target folder")?.join("scenario"))?;
    let names = all.filter_map(|entry| Some(entry.ok()?.path()));
    let newest = names.filter(|path| path.to_string_lossy().ends_with(&process)).max();
    let folder = newest.map(|folder| folder.join(case.replace("::", ".")).join("1"));
    let folder = folder.filter(|folder| folder.join("report.json").is_file());
    let told = || format!("no run is kept of:\n{}{}", text(&output.stdout), text(&output.stderr));
    Ok(folder.ok_or_else(told)?.display().to_string())
}

/// Judges a run again under a bound.
fn rejudge(folder: &str, bound: &str, code: i32) -> Result<String, Failed> {
    let output = inner(&["--rejudge", folder], &[("BOUND", bound)]);
    let printed = text(&output.stdout);
    match output.status.code() == Some(code) {
        true => Ok(printed),
        false => Err(format!("{:?}:\n{printed}\n{}", output.status, text(&output.stderr)).into()),
    }
}

fn judged_by_other_bounds() -> Result<(), Failed> {
    let case = "local::scenarios::bounds::change";
    let folder = folder_of(case, &[("BOUND", "none")])?;
    let before = fs::read_to_string(format!("{folder}/report.json"))?;
    let passes = rejudge(&folder, "60", 0)?;
    let kept = "as then: ConsensusLiveness holds, TransactionInclusion holds";
    has(&passes, &[case, "failed then, passed today", "changed: BlockInterval holds, failed then", kept])?;
    let fails = rejudge(&folder, "none", 1)?;
    has(&fails, &["failed then, failed today", "as then: BlockInterval fails, Consensus", "p50 "])?;
    has_not(&fails, "changed")?;
    same(fs::read_to_string(format!("{folder}/report.json"))? == before, true)?;
    let page = passes.lines().find_map(|line| line.strip_prefix("  report: ")).ok_or("no page is named")?;
    has(&fs::read_to_string(page)?, &["judged again", &folder, "BlockInterval", "Timeline"])?;
    // What was judged again can be judged once more.
    has(
        &rejudge(&directory(Path::new(page)).to_string_lossy(), "60", 0)?,
        &["passed then, passed today", "as then: BlockInterval holds, ConsensusLiveness holds"],
    )
}

fn judged_with_chaos() -> Result<(), Failed> {
    let folder = folder_of("own::scenarios::chains::bear_chaos", &[])?;
    let printed = rejudge(&folder, "none", 0)?;
    has(&printed, &["passed then, passed today", "as then: Recovery holds"])
}

fn not_judged_without_a_cluster() -> Result<(), Failed> {
    let folder = folder_of("local::scenarios::bounds::ask_a_node", &[])?;
    let asks =
        "its function came to 0 of 1 drives: validator-0: its answer to `/cryptarchia/info` is in no file";
    has(&rejudge(&folder, "none", 1)?, &["not judged again: ", asks])?;
    let folder = folder_of("local::scenarios::bodies::panic", &[])?;
    let ended = "it ended in its phase release, before anything was judged";
    has(&rejudge(&folder, "none", 1)?, &[ended])
}

/// Secrets of a node's settings, of the environment, of logs, of events and of failures.
fn no_output_has_a_secret() -> Result<(), Failed> {
    let case = "local::scenarios::bodies::tell_secrets";
    let summary = tempfile::NamedTempFile::new()?;
    let env = [
        ("NOMOS_API_TOKEN", "hunter2"),
        ("NOMOS_METRICS_QUERY_URL", "http://me:hunter2@host/"),
        ("TESTNET_PRINT_ENDPOINTS", "1"),
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_STEP_SUMMARY", &*summary.path().to_string_lossy()),
    ];
    let output = inner(&["--exact", case, "--show-output"], &env);
    let printed = text(&output.stdout) + &text(&output.stderr);
    has(
        &printed,
        &["token=*** is refused by http://***@host/", "TESTNET_ENDPOINTS prometheus=http://***@host/"],
    )?;
    let report = printed.lines().find_map(|line| line.strip_prefix("report: ")).ok_or("no page is named")?;
    let folder = directory(Path::new(report));
    has(&fs::read_to_string(folder.join("report.json"))?, &["API_TOKEN", "NOMOS_API_TOKEN"])?;
    let mut outputs =
        vec![printed.clone(), fs::read_to_string(summary)?, fs::read_to_string(index(Path::new(report)))?];
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() {
            outputs.push(fs::read_to_string(path)?);
        }
    }
    outputs.iter().try_for_each(|output| has_not(output, "hunter2"))
}

fn github_is_told() -> Result<(), Failed> {
    let summary = directory(&failed()?).join("summary.md");
    let env = [("GITHUB_ACTIONS", "true"), ("GITHUB_STEP_SUMMARY", &*summary.to_string_lossy())];
    let output = inner(&["--exact", CASE], &env);
    let annotation = "::error file=runtime/tests/harness/scenarios.rs,line=";
    has(&text(&output.stderr), &[annotation, "::ConsensusLiveness failed (product)%0A"])?;
    has(
        &fs::read_to_string(summary)?,
        &["`compose::scenarios::chains::stand_still`: ConsensusLiveness failed"],
    )
}

#[expect(clippy::disallowed_methods, reason = "a browser is no part of the runtime")]
fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&path)
        .flat_map(|folder| ["chromium", "chromium-browser", "google-chrome"].map(|name| folder.join(name)));
    places.find(|place| place.is_file())
}

/// What a browser makes of a page, as HTML.
#[expect(clippy::disallowed_methods, reason = "a browser is no part of the runtime")]
fn drawn(browser: &Path, page: &Path) -> Result<String, Failed> {
    let profile = tempfile::tempdir()?;
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", fs::canonicalize(page)?.display()))
        .output()?;
    let dom = text(&output.stdout);
    if dom.is_empty() { Err(text(&output.stderr).into()) } else { Ok(without_scripts(&dom)) }
}

/// A document without its scripts, which name everything that they make.
fn without_scripts(dom: &str) -> String {
    let parts = dom.split("<script").map(|part| part.rsplit_once("</script>").map_or(part, |(_, rest)| rest));
    parts.collect()
}

fn is_drawn(browser: &Path) -> Result<(), Failed> {
    let path = failed()?;
    let dom = drawn(browser, &path)?;
    for chart in ["timeline", "heights"] {
        let (_, from) = dom.split_once(&format!("id=\"chart-{chart}\"")).ok_or("there is no such chart")?;
        let until = from.split("</section>").next().unwrap_or_default();
        has(until, &["<svg", "mark-"])?;
    }
    has_not(&dom, "could not be drawn")?;
    let index = drawn(browser, &index(&path))?;
    has(&index, &["1 failed"])?;
    // A reader of screens is told what a chart shows, once.
    for svg in [dom, index].iter().flat_map(|page| page.split("<svg").skip(1)) {
        has(svg.split('>').next().unwrap_or_default(), &["aria-hidden=\"true\""])?;
    }
    Ok(())
}
