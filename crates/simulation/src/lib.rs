//! A simulated outside world: same seed, same run.
//!
//! A [`Simulation`] hands out an [`Environment`] whose clock is virtual, whose
//! randomness is seeded, whose tasks run one at a time in an order the seed
//! chooses, and whose disk takes time, fails on request, and at a crash loses
//! or tears what was not synced. Nothing in it knows what is simulated.
//!
//! ```
//! use std::time::Duration;
//! let simulation = simulation::Simulation::new(7);
//! let clock = simulation.environment().clock;
//! simulation.run(async move { clock.sleep(Duration::from_secs(3600)).await });
//! ```

mod disk;
mod executor;
mod random;
mod trace;

use std::future::Future;
use std::sync::Arc;

use environment::Environment;

pub use crate::disk::{Fault, SimulatedDisk};

use crate::executor::Executor;
use crate::random::Seeded;
use crate::trace::Trace;

/// A world of its own. Cheap to clone; clones are the same world.
#[derive(Clone)]
pub struct Simulation {
    executor: Arc<Executor>,
    random: Arc<Seeded>,
    disk: Arc<SimulatedDisk>,
    trace: Arc<Trace>,
}

impl Simulation {
    /// A world in which everything follows from `seed`.
    pub fn new(seed: u64) -> Simulation {
        let trace = Arc::new(Trace::default());
        // Streams of their own, so that a draw more in one place does not change the others.
        let executor = Arc::new(Executor::new(Seeded::new(seed, 1), trace.clone()));
        let disk = Arc::new(SimulatedDisk::new(Seeded::new(seed, 2), executor.clone(), trace.clone()));
        Simulation { executor, random: Arc::new(Seeded::new(seed, 3)), disk, trace }
    }

    /// The environment of components that live in this world.
    pub fn environment(&self) -> Environment {
        Environment {
            clock: self.executor.clone(),
            random: self.random.clone(),
            tasks: self.executor.clone(),
            disk: self.disk.clone(),
        }
    }

    /// Runs `future` and every task until `future` is done. Time passes while
    /// all of them wait, and by a millisecond at most while some could go on.
    ///
    /// Panics when everything waits and no timer is set: that would be for ever.
    pub fn run<F: Future>(&self, future: F) -> F::Output {
        self.executor.run(future)
    }

    /// Stops the machine: all tasks are gone, the disk keeps what was synced
    /// and some of the rest. May be called inside [`Simulation::run`], whose future survives.
    pub fn crash(&self) {
        self.trace.add("crash", 0);
        self.executor.kill_tasks();
        self.disk.crash();
    }

    /// The disk, for injecting failures.
    pub fn disk(&self) -> &SimulatedDisk {
        &self.disk
    }

    /// Adds a line to the trace, e.g. what a client saw.
    pub fn note(&self, line: &str) {
        self.trace.add(line, 0);
    }

    /// A digest of everything that happened so far. Two runs of one seed have the same.
    pub fn digest(&self) -> u64 {
        self.trace.digest()
    }

    /// How many things happened so far: tasks that ran, timers that rang, operations of the disk.
    pub fn steps(&self) -> u64 {
        self.trace.count()
    }

    /// The last things that happened, oldest first, for a failure's report.
    pub fn recent(&self) -> Vec<String> {
        self.trace.recent()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Three tasks that sleep and draw; returns the order in which they ended and the digest.
    fn run(seed: u64) -> (Vec<u64>, u64) {
        let simulation = Simulation::new(seed);
        let environment = simulation.environment();
        let order = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let ended = order.clone();
        simulation.run(async move {
            for name in 0..3 {
                let (environment, order) = (environment.clone(), order.clone());
                let tasks = environment.tasks.clone();
                let task = async move {
                    let pause = environment.random.below(5);
                    environment.clock.sleep(Duration::from_secs(pause)).await;
                    order.lock().push(name);
                };
                tasks.spawn("test", Box::pin(task));
            }
            environment.clock.sleep(Duration::from_secs(10)).await;
        });
        let order = ended.lock().clone();
        (order, simulation.digest())
    }

    #[test]
    fn the_same_seed_is_the_same_run() {
        for seed in 0..20 {
            assert_eq!(run(seed), run(seed));
        }
    }

    #[test]
    fn different_seeds_are_different_runs() {
        let orders: std::collections::BTreeSet<_> = (0..20).map(|seed| run(seed).0).collect();
        let digests: std::collections::BTreeSet<_> = (0..20).map(|seed| run(seed).1).collect();
        assert!(orders.len() > 2);
        assert_eq!(digests.len(), 20);
    }

    #[test]
    fn an_hour_passes_at_once_and_exactly() {
        let simulation = Simulation::new(1);
        let clock = simulation.environment().clock;
        let (start, wall) = (clock.monotonic(), clock.now());
        simulation.run(clock.sleep(Duration::from_secs(3600)));
        assert_eq!(clock.monotonic() - start, Duration::from_secs(3600));
        assert_eq!(clock.now().duration_since(wall).as_secs(), 3600);
    }

    #[test]
    #[should_panic(expected = "everything waits")]
    fn waiting_for_ever_is_an_error() {
        Simulation::new(1).run(std::future::pending::<()>());
    }

    #[test]
    fn a_crash_ends_the_tasks_and_not_the_main_future() {
        let simulation = Simulation::new(1);
        let environment = simulation.environment();
        let world = simulation.clone();
        let ran = simulation.run(async move {
            let (sent, ran) = futures::channel::oneshot::channel::<()>();
            let clock = environment.clock.clone();
            let task = async move {
                clock.sleep(Duration::from_secs(1)).await;
                let _ = sent.send(());
            };
            environment.tasks.spawn("test", Box::pin(task));
            world.crash();
            ran.await
        });
        assert!(ran.is_err());
    }
}
