//! Which file a node executes: what the scenario names for it alone, else what a setting names, else what
//! the node program names, else what `PATH` has.
//!
//! The first of these that names a file decides. A named file that is missing is an error and never
//! passed over, since another program would run than the one that was asked for.

use std::collections::BTreeMap;
use std::env::split_paths;
use std::path::{Path, PathBuf, absolute};
use std::time::SystemTime;

use logos_scenario_runtime::deployer::DeployError;
use logos_scenario_runtime::plan::{Executable, Plan, PlannedNode};
use logos_scenario_runtime::topology::Role;
use rustix::fs::{Access, access};

use crate::env::{EXECUTOR_BIN, NODE_BIN, Settings};

/// The absolute path of the node's executable.
pub(super) fn find(node: &PlannedNode, settings: &Settings) -> Result<PathBuf, DeployError> {
    if let Some(own) = &node.binary {
        return own_program(node, own);
    }
    let setting = setting(node.role, settings);
    let path = match (setting.1, &node.executable.path) {
        (Some(path), _) => Some(path.clone()),
        (None, Some(path)) => Some(as_archived(path, settings)),
        (None, None) => in_path(&node.executable.program, settings),
    };
    let path = path.and_then(|path| absolute(path).ok()).filter(|path| path.is_file());
    executable(node, path.ok_or_else(|| missing(node, setting, settings))?)
}

/// All executables of a plan: of each the length and the time of its last change, which tell one build from
/// another.
pub(super) fn find_all(
    plan: &Plan,
    settings: &Settings,
) -> Result<BTreeMap<PathBuf, (u64, Option<SystemTime>)>, DeployError> {
    let found = plan.nodes.iter().map(|node| {
        let path = find(node, settings)?;
        let build = path.metadata().ok().map(|file| (file.len(), file.modified().ok()));
        Ok((path, build.unwrap_or_default()))
    });
    found.collect()
}

fn own_program(node: &PlannedNode, own: &Path) -> Result<PathBuf, DeployError> {
    let file = absolute(own).ok().filter(|path| path.is_file());
    executable(
        node,
        file.ok_or_else(|| {
            DeployError::new(
                node.name.clone(),
                format!("its own program `{}` is not a file", own.display()),
                format!("build it, or change `with_node(\"{}\", |node| node.binary(..))`", node.name),
            )
        })?,
    )
}

fn executable(node: &PlannedNode, path: PathBuf) -> Result<PathBuf, DeployError> {
    if access(&path, Access::EXEC_OK).is_ok() { Ok(path) } else { Err(not_executable(node, &path)) }
}

/// The setting that names the executable of a role, and what it names.
fn setting(role: Role, settings: &Settings) -> (&'static str, Option<&PathBuf>) {
    match role {
        Role::Validator => (NODE_BIN, settings.node_bin.as_ref()),
        Role::Executor => (EXECUTOR_BIN, settings.executor_bin.as_ref()),
    }
}

/// A path that cargo gave when the tests were built, or where the same program is now that nextest runs them from
/// an archive.
fn as_archived(path: &Path, settings: &Settings) -> PathBuf {
    let archived = || settings.archived.get(path.file_name()?).cloned();
    if path.is_file() { path.to_owned() } else { archived().unwrap_or_else(|| path.to_owned()) }
}

/// The first executable file of this name in `PATH`, else the first file of this name.
fn in_path(program: &str, settings: &Settings) -> Option<PathBuf> {
    let files: Vec<PathBuf> = split_paths(settings.path.as_ref()?)
        .map(|directory| directory.join(program))
        .filter(|path| path.is_file())
        .collect();
    files.iter().find(|path| access(*path, Access::EXEC_OK).is_ok()).or(files.first()).cloned()
}

fn missing(node: &PlannedNode, setting: (&str, Option<&PathBuf>), settings: &Settings) -> DeployError {
    let Executable { program, path } = &node.executable;
    let (name, set) = setting;
    let named = |path: &Path| format!("`{}`, where there is no file", path.display());
    let mut seen = vec![match set {
        Some(path) => format!("{name} is {}", named(path)),
        None => format!("{name} is not set"),
    }];
    seen.push(match path {
        Some(_) if set.is_some() => "so the node program was not asked for its path".to_owned(),
        Some(path) => format!("the node program's path is {}", named(path)),
        None => "the node program names no path".to_owned(),
    });
    seen.push(match &settings.path {
        _ if set.is_some() || path.is_some() => format!("and PATH was not searched for `{program}`"),
        Some(path) => format!("and PATH ({}) has no `{program}`", path.display()),
        None => format!("and there is no PATH to search for `{program}`"),
    });
    DeployError::new(
        node.name.clone(),
        format!("its program was not found: {}", seen.join(", ")),
        format!("build the program, or let {name} name its file"),
    )
}

fn not_executable(node: &PlannedNode, path: &Path) -> DeployError {
    DeployError::new(
        node.name.clone(),
        format!("its program `{}` may not be executed", path.display()),
        format!("try `chmod +x {}`", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[derive(Default)]
    struct Case<'a> {
        own: Option<&'a str>,
        set: Option<&'a str>,
        planned: Option<&'a str>,
        path: Option<&'a str>,
        archived: Option<(&'a str, &'a str)>,
    }

    /// Looks for `node` with the files `set`, `planned` and `path/node` there; `~` is their directory.
    fn check(role: Role, case: &Case<'_>, expected: Result<&str, &str>) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().to_str().unwrap();
        fs::create_dir_all(format!("{root}/path")).unwrap();
        for (file, mode) in
            [("own", 0o755), ("set", 0o755), ("planned", 0o755), ("path/node", 0o755), ("plain", 0o644)]
        {
            fs::write(format!("{root}/{file}"), "").unwrap();
            fs::set_permissions(format!("{root}/{file}"), fs::Permissions::from_mode(mode)).unwrap();
        }
        let here = |text: Option<&str>| text.map(|text| text.replace('~', root));
        let mut settings = Settings { path: here(case.path).map(Into::into), ..Settings::default() };
        settings.archived = case
            .archived
            .map(|(name, path)| (name.into(), here(Some(path)).unwrap().into()))
            .into_iter()
            .collect();
        match role {
            Role::Validator => settings.node_bin = here(case.set).map(Into::into),
            Role::Executor => settings.executor_bin = here(case.set).map(Into::into),
        }
        let node = PlannedNode {
            name: format!("{role}-0"),
            role,
            executable: Executable { program: "node".into(), path: here(case.planned).map(Into::into) },
            binary: here(case.own).map(Into::into),
            image: None,
            late: false,
            fetches: None,
            args: Vec::new(),
            env: [].into(),
            files: Vec::new(),
            ports: Vec::new(),
        };
        let found = find(&node, &settings)
            .map(|path| path.display().to_string().replace(root, "~"))
            .map_err(|error| error.to_string().replace(root, "~"));
        assert_eq!(found.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn own_goes_before_setting_before_plan_before_path() {
        for role in [Role::Validator, Role::Executor] {
            let all = Case {
                own: Some("~/own"),
                set: Some("~/set"),
                planned: Some("~/planned"),
                path: Some("/none:~/path"),
                archived: Some(("planned", "~/own")),
            };
            check(role, &all, Ok("~/own"));
            let all = Case { own: None, ..all };
            check(role, &all, Ok("~/set"));
            check(role, &Case { set: None, ..all }, Ok("~/planned"));
            check(role, &Case { set: None, planned: None, ..all }, Ok("~/path/node"));
        }
    }

    #[test]
    fn a_program_of_an_archive_is_where_nextest_has_it() {
        let case = Case { planned: Some("~/gone"), archived: Some(("gone", "~/own")), ..Case::default() };
        check(Role::Validator, &case, Ok("~/own"));
    }

    #[test]
    fn a_missing_program_is_told_with_all_three_places() {
        check(
            Role::Validator,
            &Case { path: Some("/none"), ..Case::default() },
            Err("validator-0: its program was not found: NOMOS_NODE_BIN is not set, the node program names \
                 no path, and PATH (/none) has no `node`; build the program, or let NOMOS_NODE_BIN name its file"),
        );
        check(
            Role::Executor,
            &Case { planned: Some("~/gone"), path: Some("~/path"), ..Case::default() },
            Err("executor-0: its program was not found: NOMOS_EXECUTOR_BIN is not set, the node program's \
                 path is `~/gone`, where there is no file, and PATH was not searched for `node`; build the \
                 program, or let NOMOS_EXECUTOR_BIN name its file"),
        );
        check(
            Role::Executor,
            &Case { set: Some("~/gone"), planned: Some("~/planned"), ..Case::default() },
            Err("executor-0: its program was not found: NOMOS_EXECUTOR_BIN is `~/gone`, where there is no \
                 file, so the node program was not asked for its path, and PATH was not searched for `node`; \
                 build the program, or let NOMOS_EXECUTOR_BIN name its file"),
        );
    }

    #[test]
    fn a_program_without_run_bit_is_told_with_the_remedy() {
        check(
            Role::Validator,
            &Case { set: Some("~/plain"), ..Case::default() },
            Err("validator-0: its program `~/plain` may not be executed; try `chmod +x ~/plain`"),
        );
    }
    #[test]
    fn a_nodes_own_program_is_told_by_where_it_was_named() {
        check(
            Role::Executor,
            &Case { own: Some("~/gone"), set: Some("~/set"), ..Case::default() },
            Err("executor-0: its own program `~/gone` is not a file; build it, or change \
                 `with_node(\"executor-0\", |node| node.binary(..))`"),
        );
    }
}
