//! Ends a server and removes its folder when the owning process is gone, however it went.
//!
//! A small shell in its own process group holds the read end of a pipe whose write end only we
//! have. When we end, kill -9 included, the kernel closes the pipe, the shell reads end-of-file,
//! ends what it was told to watch and removes the folder. An ordinary drop takes the same way.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::error::ThrowawayError;

/// Reads `watch PID` and `forget` lines; at end-of-file ends the watched process and removes `$1`.
///
/// QUIT lets PostgreSQL take its children and shared memory with it and is a thread dump for a
/// Java virtual machine, so KILL follows after `$2` tenths of a second. A postmaster that was
/// killed leaves a shared memory segment; its id is the second number on line 7 of postmaster.pid.
const SCRIPT: &str = r#"
trap '' INT TERM HUP QUIT
dir=$1 patience=$2 pid=
while read -r verb value; do
  case $verb in
    watch) pid=$value ;;
    forget) pid= ;;
  esac
done
if [ -n "$pid" ]; then
  n=0
  if [ "$patience" -gt 0 ]; then kill -CONT "$pid"; kill -QUIT "$pid"; fi
  while kill -0 "$pid" && [ "$n" -lt "$patience" ]; do sleep 0.1; n=$((n + 1)); done
  kill -KILL "$pid"
fi
segment=$(sed -n '7s/.* //p' "$dir/data/postmaster.pid")
[ -z "$segment" ] || ipcrm -m "$segment"
n=0
while [ -e "$dir" ] && [ "$n" -lt 100 ]; do
  rm -rf -- "$dir"
  [ ! -e "$dir" ] || sleep 0.1
  n=$((n + 1))
done
"#;

/// The longest path of a Unix socket is 103 bytes on macOS, and ours needs about 40 of its own.
const LONGEST_ROOT_BYTES: usize = 60;

/// Where folders are made: the system's place, or `/tmp` when sockets would not fit there.
fn temporary_root(system: PathBuf) -> PathBuf {
    if system.as_os_str().len() > LONGEST_ROOT_BYTES {
        "/tmp".into()
    } else {
        system
    }
}

/// The shell that outlives us by a moment.
#[derive(Debug)]
pub(crate) struct Guard {
    shell: Child,
    orders: Option<ChildStdin>,
    dir: PathBuf,
}

impl Guard {
    /// Makes a folder and the shell that will remove it. `patience_tenths`: how long a watched
    /// process has between QUIT and KILL; 0 kills it at once.
    pub(crate) fn new(prefix: &str, patience_tenths: u32) -> Result<Self, ThrowawayError> {
        let temp = temporary_root(std::env::temp_dir());
        let dir = tempfile::Builder::new()
            .prefix(prefix)
            .tempdir_in(&temp)
            .map_err(ThrowawayError::io("create a folder in", temp))?;
        let mut shell = Command::new("sh")
            .arg("-c")
            .arg(SCRIPT)
            .arg("walgate-guard")
            .arg(dir.path())
            .arg(patience_tenths.to_string())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(ThrowawayError::io("run", "sh"))?;
        let orders = shell.stdin.take();
        // From here on the shell removes it.
        let dir = dir.keep();
        Ok(Self { shell, orders, dir })
    }

    /// The folder that goes when we go.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Has `pid` ended with us from now on, instead of the one before.
    pub(crate) fn watch(&mut self, pid: u32) -> Result<(), ThrowawayError> {
        self.order(&format!("watch {pid}\n"))
    }

    /// Nothing is left to be ended: the process was seen to end.
    pub(crate) fn forget(&mut self) -> Result<(), ThrowawayError> {
        self.order("forget\n")
    }

    fn order(&mut self, line: &str) -> Result<(), ThrowawayError> {
        match &mut self.orders {
            Some(pipe) => pipe
                .write_all(line.as_bytes())
                .map_err(ThrowawayError::io("tell the guard of", &self.dir)),
            None => Ok(()),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Err(error) = self.shell.wait() {
            tracing::warn!(dir = %self.dir.display(), %error, "guard of a throw-away server is gone");
        }
    }
}
