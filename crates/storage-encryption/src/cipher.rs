//! What every cipher of this crate does, and the few words they share.

use environment::Random;
use storage::TransformError;

/// One key with one way to use it. Never waits.
pub(crate) trait Cipher: Send + Sync {
    /// Appends the sealed form of `data` to `out`.
    fn seal(
        &self,
        random: &dyn Random,
        data: &[u8],
        context: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), TransformError>;

    /// The data behind what [`Cipher::seal`] appended.
    fn open(&self, sealed: &[u8], context: &[u8]) -> Opened;
}

/// Data, or why there is none.
pub(crate) type Opened = Result<Vec<u8>, TransformError>;

/// A key has a length, in bytes, that its cipher cannot use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid key size {0}")]
pub(crate) struct BadKey(pub usize);

/// The original's text for a value cut off.
pub(crate) const SHORT: &str = "the stored data was shorter than the required size";

/// An error with this text.
pub(crate) fn failure(text: &str) -> TransformError {
    TransformError(text.to_owned())
}

/// The first `N` bytes and the rest; none if there are fewer.
pub(crate) fn split<const N: usize>(bytes: &[u8]) -> Option<(&[u8; N], &[u8])> {
    bytes.split_first_chunk()
}

/// Several errors as the original joins them: one is itself, equal ones count once.
pub(crate) fn join(errors: &[TransformError]) -> Option<TransformError> {
    let mut texts: Vec<&str> = Vec::new();
    for error in errors {
        if !texts.contains(&error.0.as_str()) {
            texts.push(&error.0);
        }
    }
    match texts[..] {
        [] => None,
        [text] => Some(failure(text)),
        _ => Some(TransformError(format!("[{}]", texts.join(", ")))),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::sync::atomic::{AtomicU8, Ordering};

    use environment::Random;

    /// Random bytes that count from zero.
    #[derive(Default)]
    pub(crate) struct Counting(AtomicU8);

    impl Random for Counting {
        fn fill(&self, out: &mut [u8]) {
            out.iter_mut().for_each(|byte| *byte = self.0.fetch_add(1, Ordering::Relaxed));
        }
    }

    pub(crate) fn hex(text: &str) -> Vec<u8> {
        let digits = |i: usize| u8::from_str_radix(&text[i..i + 2], 16).expect("hexadecimal digits");
        (0..text.len()).step_by(2).map(digits).collect()
    }
}
