//! When a watch owes its reader a bookmark (B-31). What the bookmark tells is the watch's own affair.

use std::time::Duration;

/// Time between bookmarks.
const INTERVAL: Duration = Duration::from_secs(60);
/// How long before the end of a watch its last bookmark comes.
const BEFORE_THE_END: Duration = Duration::from_secs(2);

/// The times of a watch's bookmarks: one a minute, and one shortly before its reader leaves.
#[derive(Clone, Copy, Debug)]
pub struct Bookmarks {
    /// On the monotonic clock; none if the end is not known.
    last: Option<Duration>,
}

impl Bookmarks {
    /// For a watch opened `now` (on the monotonic clock) that lasts for `lifetime`, if that is known.
    pub fn new(now: Duration, lifetime: Option<Duration>) -> Bookmarks {
        let last = lifetime.map(|lifetime| now.saturating_add(lifetime).saturating_sub(BEFORE_THE_END));
        Bookmarks { last }
    }

    /// How long after `now` the next one is due; none if there is no time for another.
    pub fn next(&self, now: Duration) -> Option<Duration> {
        match self.last {
            None => Some(INTERVAL),
            Some(last) if last <= now => None,
            Some(last) => Some(INTERVAL.min(last - now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_bookmark_comes_every_minute_and_two_seconds_before_the_end() {
        let open_end = Bookmarks::new(seconds(100), None);
        assert_eq!(open_end.next(seconds(100)), Some(seconds(60)));
        assert_eq!(open_end.next(seconds(100_000)), Some(seconds(60)));
        let bookmarks = Bookmarks::new(seconds(100), Some(seconds(90)));
        assert_eq!(bookmarks.next(seconds(100)), Some(seconds(60)));
        assert_eq!(bookmarks.next(seconds(160)), Some(seconds(28)));
        assert_eq!(bookmarks.next(seconds(188)), None);
        assert_eq!(bookmarks.next(seconds(200)), None);
    }

    #[test]
    fn a_short_watch_has_no_time_for_bookmarks() {
        assert_eq!(Bookmarks::new(seconds(100), Some(seconds(2))).next(seconds(100)), None);
        assert_eq!(Bookmarks::new(seconds(100), Some(seconds(3))).next(seconds(100)), Some(seconds(1)));
    }
}
