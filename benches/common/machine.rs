//! The machine: what it is, how fast its cores exchange a cache line at this moment, and which
//! other processes use it.

use std::fs;
use std::hint::{black_box, spin_loop};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

/// What a reader must know of the machine to understand a figure.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) rustc: String,
    pub(crate) commit: String,
    pub(crate) date: String,
}

impl Machine {
    /// The description of this machine.
    pub(crate) fn look() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find(|line| line.starts_with("model name"));
        let model = model.and_then(|line| line.split_once(':')).map(|(_, name)| name.trim());
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
        Self {
            cpu: model.unwrap_or("unknown").to_owned(),
            cores: cores(),
            kernel: says("uname", &["-sr"]),
            rustc: says(&rustc, &["-V"]),
            commit: says("git", &["describe", "--always", "--dirty"]),
            date: says("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        }
    }
}

/// How many cores this process may use.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn says(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

/// Available memory, in bytes.
pub(crate) fn available_memory() -> u64 {
    bytes_in("/proc/meminfo", "MemAvailable:")
}

/// Memory that this process uses, in bytes.
pub(crate) fn used_memory() -> u64 {
    bytes_in("/proc/self/status", "VmRSS:")
}

/// The value of a line such as `VmRSS: 1024 kB`, in bytes.
fn bytes_in(file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1_024
}

/// How long [`hop`] tries.
const HOP_PATIENCE: Duration = Duration::from_millis(20);
/// Tells the other thread of [`hop`] to end.
const GO_HOME: u64 = u64::MAX;

/// Nanoseconds for a cache line to get from one core to another: half a round trip of a number that
/// two threads pass to each other. The median of a few batches. `None` if two threads don't get two
/// cores at the same time.
pub(crate) fn hop() -> Option<f64> {
    const BATCHES: usize = 5;
    const TRIPS: u64 = 500;
    if cores() < 2 {
        return None;
    }
    let ball = CachePadded::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut batches = thread::scope(|scope| {
        scope.spawn(|| {
            // Odd numbers are this thread's turn.
            for turn in (1..).step_by(2) {
                if !wait_for(&ball, turn, began) {
                    return;
                }
                // Fails only if the first thread has just told this one to end.
                let _ = ball.compare_exchange(turn, turn + 1, Ordering::AcqRel, Ordering::Relaxed);
            }
        });
        let mut batches = Vec::new();
        let mut turn = 0;
        'all: while batches.len() < BATCHES {
            let start = Instant::now();
            for _ in 0..TRIPS {
                if !wait_for(&ball, turn, began) {
                    break 'all;
                }
                ball.store(turn + 1, Ordering::Release);
                turn += 2;
            }
            batches.push(start.elapsed().as_nanos() as f64 / (2 * TRIPS) as f64);
        }
        ball.store(GO_HOME, Ordering::Release);
        batches
    });
    batches.sort_by(f64::total_cmp);
    batches.get(batches.len() / 2).copied()
}

/// Waits for this thread's turn. Returns `false` once waiting is of no use.
fn wait_for(ball: &AtomicU64, turn: u64, began: Instant) -> bool {
    let mut looks = 0_u32;
    loop {
        match ball.load(Ordering::Acquire) {
            GO_HOME => return false,
            seen if seen == turn => return true,
            _ => {}
        }
        looks += 1;
        if !looks.is_multiple_of(5_000) {
            spin_loop();
        } else if began.elapsed() > HOP_PATIENCE {
            return false;
        } else {
            // The other thread may have no core at this moment.
            thread::yield_now();
        }
    }
}

/// Microseconds until a small append to `folder`'s disk is durable: the median of some.
pub(crate) fn fsync_us(folder: &Path) -> Option<f64> {
    const TIMES: usize = 21;
    let path = folder.join("fsync");
    let mut file = fs::File::create(&path).ok()?;
    let mut times = Vec::new();
    for _ in 0..TIMES {
        file.write_all(&[7; 128]).ok()?;
        let began = Instant::now();
        file.sync_data().ok()?;
        times.push(began.elapsed().as_secs_f64() * 1e6);
    }
    let _ = fs::remove_file(&path);
    times.sort_by(f64::total_cmp);
    Some(times[TIMES / 2])
}

/// Megabytes per second that `folder`'s disk writes in one piece, with a sync at the end.
pub(crate) fn disk_megabytes_a_second(folder: &Path, megabytes: usize) -> Option<f64> {
    let path = folder.join("rate");
    let mut file = fs::File::create(&path).ok()?;
    // Not zeros, because some disks don't write these.
    let block: Vec<u8> =
        (0..1_000_000_u32).map(|byte| (byte.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let began = Instant::now();
    for _ in 0..megabytes {
        file.write_all(&block).ok()?;
    }
    file.sync_data().ok()?;
    let rate = megabytes as f64 / began.elapsed().as_secs_f64();
    let _ = fs::remove_file(&path);
    Some(rate)
}

/// Processor time of this process and its threads so far.
pub(crate) fn own_cpu_time() -> Option<Duration> {
    let threads = fs::read_dir("/proc/self/task").ok()?;
    let nanos = threads.flatten().filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Some(Duration::from_nanos(nanos.sum()))
}

/// The threads of this process that have this name.
pub(crate) fn threads_named(name: &str) -> Vec<u32> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let is_it = |task: &fs::DirEntry| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|found| found.trim_end() == name)
    };
    let number = |task: fs::DirEntry| task.file_name().to_str()?.parse().ok();
    tasks.filter(is_it).filter_map(number).collect()
}

/// This thread's number.
pub(crate) fn own_number() -> Option<u32> {
    let place = fs::read_link("/proc/thread-self").ok()?;
    place.file_name()?.to_str()?.parse().ok()
}

/// Processor time of a thread of this process so far.
pub(crate) fn cpu_time_of(thread: u32) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
    Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
}

/// Processor time of this thread so far, exact to a few milliseconds; zero if the system does not
/// report it.
pub(crate) fn thread_cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// Measures which processes have used the machine since it was made.
pub(crate) struct Watch {
    busy: Option<f64>,
    own: Option<f64>,
    since: Instant,
}

impl Watch {
    pub(crate) fn start() -> Self {
        Self { busy: busy_seconds(), own: own_seconds(), since: Instant::now() }
    }

    /// Cores that processes other than this one and its children kept busy, on average.
    pub(crate) fn cores_of_others(&self) -> Option<f64> {
        let span = self.since.elapsed().as_secs_f64();
        let busy = busy_seconds()? - self.busy?;
        let own = own_seconds()? - self.own?;
        Some(((busy - own) / span).max(0.0))
    }
}

/// The unit of the times in `/proc`, on every Linux.
const TICKS_A_SECOND: f64 = 100.0;

fn busy_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let mut ticks = text.lines().next()?.split_whitespace().skip(1).map(str::parse::<f64>);
    let mut next = || ticks.next().and_then(Result::ok);
    let (user, nice, system) = (next()?, next()?, next()?);
    let (_idle, _io) = (next()?, next()?);
    let (irq, soft_irq, steal) = (next()?, next()?, next().unwrap_or(0.0));
    Some((user + nice + system + irq + soft_irq + steal) / TICKS_A_SECOND)
}

/// Processor time of this process.
fn own_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS_A_SECOND)
}

/// Keeps the compiler from removing the computation of a value.
pub(crate) fn use_up<T>(value: T) {
    black_box(value);
}
