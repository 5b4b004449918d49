//! A thread that is there when it is needed: it starts with its first job, does one after the
//! other, and ends with its engine. A job that comes after that starts it once more, for as long as
//! there is something to do.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use crate::base::foreign::{self, Watch};
use crate::base::sync::{Condvar, Mutex, lock};

/// How often the end of an engine polls whether the thread has ended.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// How a thread is started.
pub(crate) type Spawn = fn(Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>>;

/// The thread, whether it runs or not, and its jobs.
pub(crate) struct OnDemandThread<J> {
    spawn: Spawn,
    work: fn(J),
    state: Mutex<JobQueue<J>>,
    changed: Condvar,
    watch: Watch,
}

struct JobQueue<J> {
    jobs: VecDeque<J>,
    runs: Option<ThreadId>,
    /// The engine has ended: the thread ends once it has nothing to do.
    ending: bool,
}

impl<J: Send + 'static> OnDemandThread<J> {
    /// A thread that is started by `spawn`, and does `work` for each job. A panic of a job is
    /// caught, for its work is foreign.
    pub(crate) fn new(spawn: Spawn, work: fn(J)) -> Arc<Self> {
        let state = JobQueue { jobs: VecDeque::new(), runs: None, ending: false };
        let (state, changed, watch) = (Mutex::new(state), Condvar::new(), Watch::default());
        Arc::new(Self { spawn, work, state, changed, watch })
    }

    /// Starts the thread if it does not run, so that it has the priority of the calling thread.
    ///
    /// # Errors
    /// The system's, if it grants no thread.
    pub(crate) fn start(self: &Arc<Self>) -> io::Result<()> {
        self.start_in(&mut lock(&self.state))
    }

    fn start_in(self: &Arc<Self>, state: &mut JobQueue<J>) -> io::Result<()> {
        if state.runs.is_none() {
            let this = Arc::clone(self);
            let thread = (self.spawn)(Box::new(move || this.run()))?;
            state.runs = Some(thread.thread().id());
        }
        Ok(())
    }

    /// Gives the thread a job, and starts it if it does not run.
    ///
    /// # Errors
    /// The job, and the system's error, if it grants no thread.
    pub(crate) fn ask(self: &Arc<Self>, job: J) -> Result<(), (J, io::Error)> {
        let mut state = lock(&self.state);
        if let Err(error) = self.start_in(&mut state) {
            return Err((job, error));
        }
        state.jobs.push_back(job);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// The engine has ended: so does the thread, after the jobs that it has. Waits for them until
    /// `deadline` at most, unless the calling thread is the one.
    pub(crate) fn end(&self, deadline: Instant) {
        lock(&self.state).ending = true;
        self.changed.notify_one();
        let runs = || lock(&self.state).runs.is_some_and(|it| it != thread::current().id());
        while runs() && Instant::now() < deadline {
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// How long the job in hand has taken, if that is longer than `limit`.
    pub(crate) fn stuck_for(&self, limit: Duration) -> Option<Duration> {
        self.watch.longer_than(limit)
    }

    fn run(&self) {
        while let Some(job) = self.next() {
            // The job may be dropped there, and with it what is the caller's.
            let _ = foreign::call(|| self.watch.over(|| (self.work)(job)));
        }
    }

    /// The next job; `None` once the engine has ended and none is left.
    fn next(&self) -> Option<J> {
        let mut state = lock(&self.state);
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.ending {
                state.runs = None;
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use crate::base::threads;

    type Job = Box<dyn FnOnce() + Send>;

    fn jobs() -> Arc<OnDemandThread<Job>> {
        OnDemandThread::new(|work| threads::spawn("jobs", work), |job: Job| job())
    }

    fn ask(thread: &Arc<OnDemandThread<Job>>, job: impl FnOnce() + Send + 'static) {
        thread.ask(Box::new(job)).map_err(|(_, error)| error).expect("a thread");
    }

    fn end(thread: &OnDemandThread<Job>) {
        thread.end(Instant::now() + Duration::from_secs(10));
        assert_eq!(lock(&thread.state).runs, None);
    }

    #[test]
    fn jobs_are_done_in_order_and_one_that_panics_stops_none() {
        let (thread, (tell, told)) = (jobs(), channel());
        for number in 0..100 {
            let tell = tell.clone();
            ask(&thread, move || {
                assert_ne!(number, 50, "a bug");
                tell.send(number).expect("heard");
            });
        }
        end(&thread);
        let done: Vec<_> = told.try_iter().collect();
        assert_eq!(done, (0..100).filter(|it| *it != 50).collect::<Vec<_>>());
        // It has ended, and starts once more.
        ask(&thread, move || tell.send(100).expect("heard"));
        end(&thread);
        assert_eq!(told.recv(), Ok(100));
    }

    #[test]
    fn a_job_that_blocks_shows_and_its_thread_is_not_waited_for_longer_than_told() {
        let thread = jobs();
        let (release, released): (Sender<()>, Receiver<()>) = channel();
        ask(&thread, move || {
            let _ = released.recv();
        });
        while thread.stuck_for(Duration::from_millis(5)).is_none() {
            thread::yield_now();
        }
        let began = Instant::now();
        thread.end(Instant::now() + Duration::from_millis(20));
        assert!(began.elapsed() < Duration::from_secs(5));
        drop(release);
        end(&thread);
        assert_eq!(thread.stuck_for(Duration::ZERO), None);
    }

    #[test]
    fn a_job_that_ends_its_own_thread_does_not_wait_for_itself() {
        let thread = jobs();
        let (inside, (tell, told)) = (Arc::clone(&thread), channel());
        ask(&thread, move || {
            let began = Instant::now();
            inside.end(Instant::now() + Duration::from_secs(60));
            tell.send(began.elapsed()).expect("heard");
        });
        assert!(told.recv().expect("done") < Duration::from_secs(30));
    }

    #[test]
    fn without_a_thread_the_job_comes_back() {
        let refuse: Spawn = |_| Err(io::Error::other("no room"));
        let thread = OnDemandThread::new(refuse, |_: u32| ());
        assert!(thread.start().is_err());
        assert!(matches!(thread.ask(7), Err((7, _))));
    }
}
