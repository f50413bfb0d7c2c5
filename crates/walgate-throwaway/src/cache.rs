//! The folder that keeps downloads between runs, outside `target`.
//!
//! Several test processes may want the same download at once: one takes the entry's lock file and
//! fills a temporary folder, which is renamed into place when it is complete; the others wait for
//! the lock and find the entry there. A process that dies leaves a temporary folder that nobody
//! reads.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::ThrowawayError;

/// Where root keeps downloads when its home is closed to the user that runs the servers.
const SYSTEM_CACHE: &str = "/var/cache/walgate";

/// The cache folder: `WALGATE_CACHE`, else `XDG_CACHE_HOME/walgate`, else `~/.cache/walgate`; for
/// root, whose servers run as another user, `/var/cache/walgate` when that user can't get there.
///
/// # Errors
///
/// When no folder can be named or it can't be created.
pub fn cache_dir() -> Result<PathBuf, ThrowawayError> {
    let dir = choose_dir()?;
    fs::create_dir_all(&dir).map_err(ThrowawayError::io("create the cache", &dir))?;
    Ok(dir)
}

fn choose_dir() -> Result<PathBuf, ThrowawayError> {
    if let Some(dir) = env::var_os("WALGATE_CACHE").filter(|value| !value.is_empty()) {
        return Ok(PathBuf::from(dir));
    }
    let home = env::var_os("XDG_CACHE_HOME")
        .filter(|value| !value.is_empty())
        .map(|dir| PathBuf::from(dir).join("walgate"))
        .or_else(|| env::var_os("HOME").map(|dir| PathBuf::from(dir).join(".cache/walgate")));
    match home {
        Some(dir) if !crate::run_as::is_root() || open_to_all(&dir) => Ok(dir),
        _ if crate::run_as::is_root() => Ok(PathBuf::from(SYSTEM_CACHE)),
        _ => Err(ThrowawayError::Setup(
            "no folder for downloads: HOME is not set\nhint: set WALGATE_CACHE".into(),
        )),
    }
}

/// Whether every existing folder on the way can be entered by any user.
fn open_to_all(dir: &Path) -> bool {
    dir.ancestors()
        .filter_map(|part| fs::metadata(part).ok())
        .all(|found| {
            const SEARCH_BY_OTHERS: u32 = 0o001;
            found.permissions().mode() & SEARCH_BY_OTHERS != 0
        })
}

/// The entry `name` of the cache; `fill` makes it in a temporary folder if it isn't there yet.
pub(crate) fn entry(
    name: &str,
    fill: impl FnOnce(&Path) -> Result<(), ThrowawayError>,
) -> Result<PathBuf, ThrowawayError> {
    let cache = cache_dir()?;
    let ready = cache.join(name);
    if ready.is_dir() {
        return Ok(ready);
    }
    let lock_path = cache.join(format!("{name}.lock"));
    let lock = File::create(&lock_path).map_err(ThrowawayError::io("create", &lock_path))?;
    lock.lock()
        .map_err(ThrowawayError::io("lock", &lock_path))?;
    if ready.is_dir() {
        return Ok(ready);
    }
    let temporary = cache.join(format!("{name}.{}.partial", std::process::id()));
    remove_if_there(&temporary)?;
    fs::create_dir(&temporary).map_err(ThrowawayError::io("create", &temporary))?;
    let filled = fill(&temporary).and_then(|()| {
        fs::rename(&temporary, &ready).map_err(ThrowawayError::io("rename", &temporary))
    });
    if filled.is_err() {
        remove_if_there(&temporary)?;
    }
    filled.map(|()| ready)
}

fn remove_if_there(dir: &Path) -> Result<(), ThrowawayError> {
    if dir.exists() {
        fs::remove_dir_all(dir).map_err(ThrowawayError::io("remove", dir))?;
    }
    Ok(())
}
