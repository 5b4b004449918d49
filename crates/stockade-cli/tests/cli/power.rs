//! Power cuts on a real file system: ext4 on its own image. `EXT4_IOC_SHUTDOWN`, without a flush of
//! ext4's log, stops it at once and for good, as a power cut does. What the system had not handed
//! to the device by then is lost. The next mount finds what a machine finds after it comes up
//! again.
//!
//! This shows that files and directories are really synced when the engine says so, through a file
//! system that may reorder writes. It cannot show a disk that loses or reorders what it received:
//! the simulated disk of `tests/journal/crash.rs` does that.
//!
//! It needs root, loop devices, ext4, and Perl or Python. It is skipped with a message if one is
//! missing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use super::crash::{end_engines, end_sales};
use super::folder;

const IMAGE_BYTES: u64 = 64 << 20;
/// `_IOR('X', 125, u32)`, and the flag that leaves the log unflushed.
const SHUT_DOWN: &str = "0x8004587d";
const WITHOUT_FLUSH: &str = "2";

/// A mounted file system of its own.
struct Image {
    image: PathBuf,
    mounted_at: PathBuf,
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let told = || format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    if output.status.success() { Ok(()) } else { Err(told()) }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Stops the file system that is mounted there.
fn shut_down(place: &Path) -> Result<(), String> {
    let perl = format!(
        "open(my $d, '<', $ARGV[0]) or die $!; my $flag = pack('I', {WITHOUT_FLUSH}); \
         ioctl($d, {SHUT_DOWN}, $flag) or die $!"
    );
    let python = format!(
        "import fcntl, os, struct, sys; fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), \
         {SHUT_DOWN}, struct.pack('I', {WITHOUT_FLUSH}))"
    );
    run("perl", &["-e", &perl, text(place)])
        .or_else(|_| run("python3", &["-c", &python, text(place)]))
}

/// Waits until no thread of the process can run code of its own.
///
/// `kill` returns once the signal is there. The thread that received it stops the others when it is
/// given a core, and until then they go on: measured here, half of the processes still ran. One
/// stopped thread says that all are told. A thread that the system keeps, in a sync for example,
/// stops before it returns.
fn wait_until_stopped(process: u32) {
    for _ in 0..10_000 {
        let states = states_of_threads(process);
        if states.iter().all(|state| matches!(state, 'T' | 'D')) && states.contains(&'T') {
            return;
        }
        // It has ended by itself.
        if states.iter().all(|state| matches!(state, 'Z' | 'X')) {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("it was told to stop, and runs on: {:?}", states_of_threads(process));
}

/// A letter for each thread, as `proc(5)` explains them.
fn states_of_threads(process: u32) -> Vec<char> {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    let stats = threads.flatten().map(|thread| fs::read_to_string(thread.path().join("stat")));
    // The state follows the program's name, which stands in brackets and may hold anything.
    let after_name =
        |stat: &str| stat.rsplit_once(')').and_then(|(_, it)| it.trim().chars().next());
    stats.flatten().filter_map(|stat| after_name(&stat)).collect()
}

impl Image {
    /// Mounts a new image in the folder of the journal with this name, if this machine allows it,
    /// and stops it once to check that this works.
    fn new(name: &str) -> Result<Self, String> {
        let mounted_at = PathBuf::from(folder(name));
        fs::create_dir_all(&mounted_at).expect("a folder");
        let image = mounted_at.with_extension("image");
        let _ = fs::remove_file(&image);
        File::create(&image).and_then(|file| file.set_len(IMAGE_BYTES)).expect("a sparse file");
        let image = Self { image, mounted_at };
        run("mkfs.ext4", &["-q", "-F", text(&image.image)])?;
        image.mount()?;
        shut_down(&image.mounted_at)?;
        let marker = image.mounted_at.join("marker");
        assert!(File::create(marker).is_err(), "it is written to after the cut");
        image.unmount()?;
        image.mount()?;
        Ok(image)
    }

    fn mount(&self) -> Result<(), String> {
        run("mount", &["-o", "loop", text(&self.image), text(&self.mounted_at)])?;
        // Otherwise the engine takes it for a part of the journal.
        let _ = fs::remove_dir(self.mounted_at.join("lost+found"));
        Ok(())
    }

    fn unmount(&self) -> Result<(), String> {
        run("umount", &[text(&self.mounted_at)])
    }

    /// Cuts the power, and mounts the image again. The process may have ended by itself.
    ///
    /// The process is stopped first, because after a power cut nothing can acknowledge anything.
    /// While ext4 shuts down, a sync in progress may return as if it had succeeded.
    fn cut(&self, mut process: Child) {
        run("kill", &["-STOP", &process.id().to_string()]).expect("it has not been waited for");
        wait_until_stopped(process.id());
        shut_down(&self.mounted_at).expect("it was possible before");
        let _ = process.kill();
        process.wait().expect("it ends");
        self.unmount().expect("nobody uses it");
        self.mount().expect("it comes up again");
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = run("umount", &["-l", text(&self.mounted_at)]);
        let _ = fs::remove_file(&self.image);
    }
}

/// Gives `test` a file system to cut, or prints why there is none.
fn with_image(name: &str, test: impl FnOnce(&Image)) {
    match Image::new(name) {
        Ok(image) => test(&image),
        Err(why) => {
            let skipped = format!("skipped: the power can't be cut on this machine: {why}\n");
            std::io::Write::write_all(&mut std::io::stderr(), skipped.as_bytes()).expect("stderr");
        }
    }
}

#[test]
fn what_an_engine_acknowledged_is_there_after_a_power_cut() {
    with_image("power-engines", |image| {
        end_engines("power-engines", 12, &mut |victim| image.cut(victim));
    });
}

#[test]
fn a_sale_goes_on_after_a_power_cut() {
    with_image("power-sales", |image| {
        end_sales("power-sales", 8, &mut |sale| image.cut(sale));
    });
}

#[test]
#[ignore = "takes minutes"]
fn what_engines_acknowledged_is_there_after_many_power_cuts() {
    with_image("power-many", |image| {
        end_engines("power-many", 200, &mut |victim| image.cut(victim));
    });
}
