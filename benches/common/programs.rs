//! Starts installed servers for a bench, each in its own folder, and ends them with it.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take to start.
const START: Duration = Duration::from_secs(20);

/// The program with this name, in `PATH` or in one of `places`.
pub(crate) fn find(name: &str, places: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(places.iter().cloned());
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// An account to run a server under, for servers that refuse to run as root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    user: u32,
    group: u32,
}

impl Account {
    /// The account with this name, if this process may switch to it; `None` if the server runs
    /// under the process's own account.
    pub(crate) fn to_drop_to(name: &str) -> io::Result<Option<Self>> {
        if fs::metadata("/proc/self")?.uid() != 0 {
            return Ok(None);
        }
        let accounts = fs::read_to_string("/etc/passwd")?;
        let fields = accounts.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let found = fields.filter(|fields| fields.first() == Some(&name)).find_map(|fields| {
            Some(Self { user: fields.get(2)?.parse().ok()?, group: fields.get(3)?.parse().ok()? })
        });
        let missing = || io::Error::other(format!("no account {name}, and root may not run it"));
        found.ok_or_else(missing).map(Some)
    }
}

/// A folder that is removed when this is dropped. Its path is short, because sockets need that. It
/// is on a disk, because fsync needs that.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) fn new(account: Option<Account>) -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // `/tmp` may be in memory; `/var/tmp` must not be.
        let disk = Path::new("/var/tmp");
        let base = if disk.is_dir() { disk.to_owned() } else { std::env::temp_dir() };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("stockade-bench-{}-{number}", std::process::id()));
        fs::create_dir(&path)?;
        let folder = Self { path };
        if let Some(account) = account {
            chown(&folder.path, Some(account.user), Some(account.group))?;
        }
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A command under another account. It prints nothing unless it fails.
pub(crate) fn command(program: &Path, account: Option<Account>, folder: &Folder) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder.path()).stdin(Stdio::null());
    if let Some(Account { user, group }) = account {
        command.uid(user).gid(group);
    }
    command
}

/// A running server. When this is dropped, it ends, and its folder is removed.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    folder: Folder,
}

impl Server {
    /// Starts a server, and waits until `answers` returns true.
    pub(crate) fn start(
        mut command: Command,
        folder: Folder,
        answers: impl Fn(&Path) -> bool,
    ) -> io::Result<Self> {
        let log = folder.path().join("log");
        let output = fs::File::create(&log)?;
        command.stdout(output.try_clone()?).stderr(output);
        let mut server = Self { process: command.spawn()?, folder };
        let began = Instant::now();
        while !answers(server.folder.path()) {
            let ended = server.process.try_wait()?;
            if ended.is_some() || began.elapsed() > START {
                let said = fs::read_to_string(&log).unwrap_or_default();
                let last = said.lines().last().unwrap_or("nothing");
                return Err(io::Error::other(format!("does not answer, and says: {last}")));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ask it to end first, so that it removes its helper processes and its shared memory.
        let id = self.process.id().to_string();
        let _ = Command::new("kill").args(["-INT", &id]).status();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(5) {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
