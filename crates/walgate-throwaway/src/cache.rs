//! The folder that keeps downloads between runs, outside `target`.
//!
//! Several test processes may want the same download at once: one takes the entry's lock file and
//! fills a temporary folder, which is renamed into place when it is complete; the others wait for
//! the lock and find the entry there. The lock ends with the process that holds it; the temporary
//! folder that a killed one leaves is removed by the next.

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
    entry_in(&cache_dir()?, name, fill)
}

fn entry_in(
    cache: &Path,
    name: &str,
    fill: impl FnOnce(&Path) -> Result<(), ThrowawayError>,
) -> Result<PathBuf, ThrowawayError> {
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
    // One name is enough: we hold the lock, and who held it before may have been killed.
    let temporary = cache.join(format!("{name}.partial"));
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn an_entry_is_filled_once_however_many_want_it() {
        let cache = tempfile::tempdir().unwrap();
        let filled = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let ready = entry_in(cache.path(), "server", |dir| {
                        filled.fetch_add(1, Ordering::Relaxed);
                        fs::write(dir.join("part"), "1").unwrap();
                        thread::yield_now();
                        fs::write(dir.join("whole"), "1").unwrap();
                        Ok(())
                    });
                    assert!(ready.unwrap().join("whole").exists());
                });
            }
        });
        assert_eq!(filled.into_inner(), 1);
    }

    #[test]
    fn what_a_failed_or_killed_download_left_is_not_taken_for_the_entry() {
        let cache = tempfile::tempdir().unwrap();
        fs::create_dir(cache.path().join("server.partial")).unwrap();
        fs::write(cache.path().join("server.partial/half"), "1").unwrap();
        let failed = entry_in(cache.path(), "server", |_| {
            Err(ThrowawayError::Setup("network is down".into()))
        });
        assert!(failed.is_err());
        assert!(!cache.path().join("server").exists());
        let ready = entry_in(cache.path(), "server", |_| Ok(())).unwrap();
        assert!(!ready.join("half").exists());
    }
}
