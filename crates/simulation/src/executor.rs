//! One thread, tasks in an order that the seed chooses, and virtual time.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use environment::{Clock, Tasks};
use futures::channel::oneshot;
use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::random::Seeded;
use crate::trace::Trace;

/// The wall clock at the start of every simulation, in seconds since 1970: 2026-01-01.
const START_UNIX_SECONDS: i64 = 1_767_225_600;

/// The task that [`Executor::run`] was given; others count from 1.
const MAIN: u64 = 0;

/// One step in so many takes long enough for time to pass, so that timers and
/// the disk overtake tasks that could go on.
const SLOW_STEP_ODDS: u64 = 8;
/// How long such a step takes at most.
const SLOW_STEP: Duration = Duration::from_millis(1);

/// See the module.
pub(crate) struct Executor {
    random: Seeded,
    trace: Arc<Trace>,
    state: Mutex<State>,
    ready: Arc<Ready>,
}

#[derive(Default)]
struct State {
    now: Duration,
    next_task: u64,
    /// None while a task is being polled.
    tasks: BTreeMap<u64, Option<Task>>,
    next_timer: u64,
    /// By time and order of setting; an abandoned sleep has dropped its receiver.
    timers: BTreeMap<(Duration, u64), oneshot::Sender<()>>,
}

struct Task {
    name: &'static str,
    future: BoxFuture<'static, ()>,
}

/// Tasks that can go on, without duplicates, in the order in which they were woken.
#[derive(Default)]
struct Ready(Mutex<Vec<u64>>);

struct TaskWaker {
    task: u64,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<TaskWaker>) {
        let mut ready = self.ready.0.lock();
        if !ready.contains(&self.task) {
            ready.push(self.task);
        }
    }
}

impl Executor {
    pub fn new(random: Seeded, trace: Arc<Trace>) -> Executor {
        let state = State { next_task: MAIN + 1, ..State::default() };
        Executor { random, trace, state: Mutex::new(state), ready: Arc::new(Ready::default()) }
    }

    pub fn run<F: Future>(&self, main: F) -> F::Output {
        let mut main = pin!(main);
        self.wake(MAIN);
        loop {
            if self.random.one_in(SLOW_STEP_ODDS) {
                self.pass_time(Some(SLOW_STEP));
            }
            match self.choose() {
                Some(MAIN) => {
                    let waker = self.waker(MAIN);
                    if let Poll::Ready(output) = main.as_mut().poll(&mut Context::from_waker(&waker)) {
                        return output;
                    }
                }
                Some(task) => self.poll(task),
                None => self.pass_time(None),
            }
        }
    }

    /// Ends all tasks, without letting them finish anything.
    pub fn kill_tasks(&self) {
        // Dropped outside the lock: what a task owns may wake others when it goes.
        let tasks = std::mem::take(&mut self.state.lock().tasks);
        drop(tasks);
    }

    fn wake(&self, task: u64) {
        self.waker(task).wake();
    }

    fn waker(&self, task: u64) -> Waker {
        Waker::from(Arc::new(TaskWaker { task, ready: self.ready.clone() }))
    }

    fn choose(&self) -> Option<u64> {
        let mut ready = self.ready.0.lock();
        if ready.is_empty() {
            return None;
        }
        let chosen = self.random.below(ready.len() as u64) as usize;
        Some(ready.remove(chosen))
    }

    fn poll(&self, id: u64) {
        let Some(mut task) = self.state.lock().tasks.get_mut(&id).and_then(Option::take) else { return };
        self.trace.add(task.name, id);
        let waker = self.waker(id);
        let done = task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let mut state = self.state.lock();
        if done {
            state.tasks.remove(&id);
        } else if let Some(slot) = state.tasks.get_mut(&id) {
            *slot = Some(task);
            return;
        }
        drop(state);
        drop(task);
    }

    /// Goes to the next timer, if it rings within `limit`. Without a limit
    /// there must be one.
    fn pass_time(&self, limit: Option<Duration>) {
        let timer = {
            let mut state = self.state.lock();
            while state.timers.first_key_value().is_some_and(|(_, timer)| timer.is_canceled()) {
                state.timers.pop_first();
            }
            let until = limit.map_or(Duration::MAX, |limit| state.now.saturating_add(limit));
            let due = state.timers.first_key_value().is_some_and(|((at, _), _)| *at <= until);
            let timer = if due { state.timers.pop_first() } else { None };
            timer.map(|((at, _), timer)| {
                state.now = state.now.max(at);
                (state.now, timer)
            })
        };
        let Some((now, timer)) = timer else {
            if limit.is_some() {
                return;
            }
            panic!("everything waits, and no timer is set; before that:\n{}", self.trace.recent().join("\n"));
        };
        self.trace.add("time", now.as_nanos() as u64);
        let _ = timer.send(());
    }
}

impl Clock for Executor {
    fn now(&self) -> jiff::Timestamp {
        let now = START_UNIX_SECONDS * 1_000_000_000 + self.monotonic().as_nanos() as i64;
        jiff::Timestamp::from_nanosecond(i128::from(now)).expect("simulations end before the year 2200")
    }

    fn monotonic(&self) -> Duration {
        self.state.lock().now
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let (timer, rings) = oneshot::channel();
        let mut state = self.state.lock();
        let key = (state.now.saturating_add(duration), state.next_timer);
        state.next_timer += 1;
        state.timers.insert(key, timer);
        Box::pin(async move {
            let _ = rings.await;
        })
    }
}

impl Tasks for Executor {
    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        let id = {
            let mut state = self.state.lock();
            let id = state.next_task;
            state.next_task += 1;
            state.tasks.insert(id, Some(Task { name, future: task }));
            id
        };
        self.wake(id);
    }

    fn spawn_with_disk(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        self.spawn(name, task);
    }
}
