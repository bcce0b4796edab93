//! Turns the answers of watch streams into batches: whole revisions, each
//! once, in order, over any number of streams one after the other.
//!
//! ```text
//! answers   [5,6,7 fragment] [7,7,8]     x broken x   [7,8,9]   progress 12
//! batches   [5,6]            [7,7,7,8]                [9]       up to 12
//! next      7                9           opens at 9   10        13
//! ```
//!
//! Pure: owns where the watch stands, no stream and no clock. What makes it
//! right: `next` only moves past a revision when all its events have been
//! handed out, and nothing below `next` is handed out.

use bytes::BytesMut;
use meta::Revision;
use storage::backend::{BackendEvent, BackendEventKind, KeyValue, LeaseId, WatchBatch};

use crate::wire;

/// What an answer came to.
#[derive(Debug)]
pub(crate) enum Assembled {
    /// Changes, or progress without changes.
    Batch(WatchBatch),
    /// Nothing to hand out yet.
    Nothing,
    /// The watch is over: its next revision has been compacted away.
    Compacted(Revision),
    /// The watch is over for a reason in etcd's words.
    Canceled(String),
}

/// Where a watch stands.
#[derive(Debug)]
pub(crate) struct Assembler {
    /// Lowest revision that has not been handed out.
    next: Revision,
    /// Events of the last revision of a fragment, which may go on in the next one.
    held: Vec<BackendEvent>,
}

impl Assembler {
    /// `next` is the first revision wanted.
    pub(crate) fn new(next: Revision) -> Assembler {
        Assembler { next, held: Vec::new() }
    }

    /// Where a new stream has to start.
    pub(crate) fn next(&self) -> Revision {
        self.next
    }

    /// The stream broke: what it left unfinished will come again.
    pub(crate) fn restart(&mut self) {
        self.held.clear();
    }

    /// Takes the next answer of the stream.
    pub(crate) fn take(&mut self, answer: wire::WatchResponse) -> Assembled {
        if answer.canceled {
            return match answer.compact_revision {
                0 => Assembled::Canceled(answer.cancel_reason),
                revision => Assembled::Compacted(Revision(revision as u64)),
            };
        }
        if answer.created {
            return Assembled::Nothing;
        }
        if answer.events.is_empty() && !answer.fragment && self.held.is_empty() {
            return self.progress(answer.header.map_or(0, |header| header.revision) as u64);
        }
        self.held.extend(answer.events.into_iter().filter_map(event));
        let whole = match answer.fragment {
            false => self.held.len(),
            true => self.whole_revisions(),
        };
        let tail = self.held.split_off(whole);
        let mut events = std::mem::replace(&mut self.held, tail);
        events.retain(|event| event.kv.mod_revision >= self.next);
        let Some(last) = events.last() else { return Assembled::Nothing };
        let revision = last.kv.mod_revision;
        self.next = Revision(revision.0 + 1);
        Assembled::Batch(WatchBatch { revision, events })
    }

    /// Number of held events before those of the last revision.
    fn whole_revisions(&self) -> usize {
        let Some(last) = self.held.last() else { return 0 };
        let last = last.kv.mod_revision;
        self.held.iter().rposition(|event| event.kv.mod_revision != last).map_or(0, |at| at + 1)
    }

    /// Nothing is owed before the first revision wanted (A-KV-7), and what is known is no news.
    fn progress(&mut self, revision: u64) -> Assembled {
        if revision < self.next.0 {
            return Assembled::Nothing;
        }
        self.next = Revision(revision + 1);
        Assembled::Batch(WatchBatch { revision: Revision(revision), events: Vec::new() })
    }
}

/// None if etcd left the key out, which it never does.
fn event(event: wire::Event) -> Option<BackendEvent> {
    let kind = match event.kind() {
        wire::EventType::Put => BackendEventKind::Put,
        wire::EventType::Delete => BackendEventKind::Delete,
    };
    let kv = key_value(event.kv?);
    Some(BackendEvent { kind, kv: unshared(kv), previous: event.prev_kv.map(key_value) })
}

/// Moves what a cache may keep for days out of the read buffer, which it
/// would keep alive with everything else that came in it, the previous value first of all.
fn unshared(kv: KeyValue) -> KeyValue {
    let split = kv.key.len();
    let mut both = BytesMut::with_capacity(split + kv.value.len());
    both.extend_from_slice(&kv.key);
    both.extend_from_slice(&kv.value);
    let both = both.freeze();
    KeyValue { key: both.slice(..split), value: both.slice(split..), ..kv }
}

/// etcd's revisions are never negative.
pub(crate) fn key_value(kv: wire::KeyValue) -> KeyValue {
    KeyValue {
        key: kv.key,
        value: kv.value,
        create_revision: Revision(kv.create_revision as u64),
        mod_revision: Revision(kv.mod_revision as u64),
        version: kv.version,
        lease: LeaseId(kv.lease),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(revisions: &[i64], fragment: bool) -> wire::WatchResponse {
        let event = |&revision: &i64| wire::Event {
            kv: Some(wire::KeyValue {
                mod_revision: revision,
                create_revision: revision,
                ..Default::default()
            }),
            ..Default::default()
        };
        // The header runs ahead of the events while a watch catches up.
        let header = Some(wire::Header { revision: 1000, ..Default::default() });
        wire::WatchResponse {
            header,
            fragment,
            events: revisions.iter().map(event).collect(),
            ..Default::default()
        }
    }

    fn progress(revision: i64) -> wire::WatchResponse {
        wire::WatchResponse {
            header: Some(wire::Header { revision, ..Default::default() }),
            ..Default::default()
        }
    }

    fn batch(assembled: Assembled) -> (Vec<u64>, u64) {
        match assembled {
            Assembled::Batch(batch) => {
                (batch.events.iter().map(|event| event.kv.mod_revision.0).collect(), batch.revision.0)
            }
            other => panic!("wanted a batch, got {other:?}"),
        }
    }

    fn nothing(assembled: Assembled) {
        assert!(matches!(assembled, Assembled::Nothing), "{assembled:?}");
    }

    #[test]
    fn a_batch_reaches_as_far_as_its_events_whatever_the_header_says() {
        let mut watch = Assembler::new(Revision(5));
        assert_eq!(batch(watch.take(answer(&[5, 5, 7], false))), (vec![5, 5, 7], 7));
        assert_eq!(watch.next(), Revision(8));
    }

    #[test]
    fn a_revision_is_not_split_over_fragments() {
        let mut watch = Assembler::new(Revision(5));
        assert_eq!(batch(watch.take(answer(&[5, 6, 7], true))), (vec![5, 6], 6));
        nothing(watch.take(answer(&[7, 7], true)));
        nothing(watch.take(answer(&[], true)));
        assert_eq!(batch(watch.take(answer(&[7, 8], false))), (vec![7, 7, 7, 7, 8], 8));
        let mut watch = Assembler::new(Revision(5));
        nothing(watch.take(answer(&[5], true)));
        assert_eq!(batch(watch.take(answer(&[], false))), (vec![5], 5), "an empty piece ends it too");
    }

    #[test]
    fn a_new_stream_repeats_nothing_and_skips_nothing() {
        let mut watch = Assembler::new(Revision(5));
        assert_eq!(batch(watch.take(answer(&[5, 6, 7], true))), (vec![5, 6], 6));
        watch.restart();
        assert_eq!(watch.next(), Revision(7), "of 7 only a part had come");
        assert_eq!(batch(watch.take(answer(&[6, 7, 7], false))), (vec![7, 7], 7));
        nothing(watch.take(answer(&[7], false)));
    }

    #[test]
    fn progress_moves_the_start_of_the_next_stream() {
        let mut watch = Assembler::new(Revision(5));
        nothing(watch.take(progress(4)));
        assert_eq!(batch(watch.take(progress(9))), (vec![], 9));
        nothing(watch.take(progress(9)));
        assert_eq!(watch.next(), Revision(10));
    }

    #[test]
    fn the_end_is_told_with_its_reason() {
        let mut watch = Assembler::new(Revision(5));
        let canceled = |compact_revision, reason: &str| wire::WatchResponse {
            canceled: true,
            compact_revision,
            cancel_reason: reason.into(),
            ..Default::default()
        };
        assert!(matches!(watch.take(canceled(7, "")), Assembled::Compacted(Revision(7))));
        let Assembled::Canceled(reason) = watch.take(canceled(0, "etcdserver: permission denied")) else {
            panic!("wanted the end")
        };
        assert_eq!(reason, "etcdserver: permission denied");
    }
}
