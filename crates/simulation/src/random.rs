//! Seeded randomness.

use environment::Random;
use parking_lot::Mutex;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A stream of numbers that follows from a seed.
pub(crate) struct Seeded(Mutex<ChaCha8Rng>);

impl Seeded {
    /// Stream number `stream` of `seed`; streams of one seed are independent.
    pub fn new(seed: u64, stream: u64) -> Seeded {
        let mut numbers = ChaCha8Rng::seed_from_u64(seed);
        numbers.set_stream(stream);
        Seeded(Mutex::new(numbers))
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&self, bound: u64) -> u64 {
        self.0.lock().next_u64() % bound
    }

    /// True in one of `odds` cases.
    pub fn one_in(&self, odds: u64) -> bool {
        self.below(odds) == 0
    }
}

impl Random for Seeded {
    fn fill(&self, out: &mut [u8]) {
        self.0.lock().fill_bytes(out);
    }
}
