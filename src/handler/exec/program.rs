//! Finds the program of a configured command, so that a missing one is told at the start and not job by job.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::handler::SetupError;

/// The program's absolute path. A name with a slash is a path, seen from the working directory; one without is
/// looked up in `path`.
pub(super) fn find(program: &str, working_dir: Option<&Path>, path: Option<&OsStr>) -> Result<PathBuf, SetupError> {
    if program.is_empty() {
        return Err(SetupError::NoProgram);
    }
    let not_found = || SetupError::ProgramNotFound(program.to_owned());
    if program.contains('/') {
        let relative = working_dir.map_or_else(|| PathBuf::from(program), |dir| dir.join(program));
        let file = std::path::absolute(relative).map_err(|_| not_found())?;
        return match executable(&file) {
            Some(true) => Ok(file),
            Some(false) => Err(SetupError::NotExecutable(file)),
            None => Err(not_found()),
        };
    }
    let mut refused = None;
    for dir in path.map(std::env::split_paths).into_iter().flatten() {
        let Ok(file) = std::path::absolute(dir.join(program)) else {
            continue;
        };
        match executable(&file) {
            Some(true) => return Ok(file),
            Some(false) => refused = refused.or(Some(file)),
            None => {}
        }
    }
    Err(refused.map_or_else(not_found, SetupError::NotExecutable))
}

/// Whether a file may be executed; `None` if there is no such file.
fn executable(file: &Path) -> Option<bool> {
    let metadata = std::fs::metadata(file).ok().filter(std::fs::Metadata::is_file)?;
    Some(metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(dir: &Path, name: &str, mode: u32) {
        let file = dir.join(name);
        std::fs::write(&file, "#!/bin/sh\n").expect("a script");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("its mode");
    }

    #[test]
    fn a_name_is_looked_up_in_the_path() {
        let (first, second) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
        script(first.path(), "job", 0o644);
        script(second.path(), "job", 0o755);
        let path = std::env::join_paths([first.path(), second.path()]).expect("a PATH");
        assert_eq!(
            find("job", None, Some(&path)).expect("found"),
            second.path().join("job")
        );
        assert!(matches!(
            find("job", None, Some(first.path().as_os_str())),
            Err(SetupError::NotExecutable(_))
        ));
        assert!(matches!(
            find("other", None, Some(&path)),
            Err(SetupError::ProgramNotFound(_))
        ));
        assert!(matches!(find("job", None, None), Err(SetupError::ProgramNotFound(_))));
        assert!(matches!(find("", None, Some(&path)), Err(SetupError::NoProgram)));
    }

    #[test]
    fn a_path_is_seen_from_the_working_directory() {
        let dir = tempfile::tempdir().expect("dir");
        script(dir.path(), "job", 0o755);
        assert_eq!(
            find("./job", Some(dir.path()), None).expect("found"),
            dir.path().join("./job")
        );
        assert!(matches!(find("./job", None, None), Err(SetupError::ProgramNotFound(_))));
        // A directory is no program.
        assert!(matches!(find("/tmp", None, None), Err(SetupError::ProgramNotFound(_))));
    }
}
