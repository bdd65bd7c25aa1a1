//! The message log: what happened at the services, in order, for people, pages and tests.

use std::collections::VecDeque;
use std::sync::Arc;

use hub::{CloudEvent, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::broadcast;

/// Lines that a slow follower may be behind before it misses some.
const BEHIND: usize = 4096;

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Line {
    /// Its number; they grow by one.
    pub number: u64,
    /// When, UTC, RFC 3339.
    pub at: String,
    /// The device or registration that it concerns, if one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What kind of event, e.g. `telemetry`.
    pub kind: String,
    /// The event's members.
    pub event: Value,
}

/// A line as it is kept: made into a [`Line`] only when somebody reads it, for most are never read.
#[derive(Clone, Debug)]
pub struct Entry {
    number: u64,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Event {
        event: CloudEvent,
        utc: Utc,
    },
    /// Of an earlier process.
    Stored(Line),
}

impl Entry {
    /// Its number; they grow by one.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The line that is read.
    pub fn line(&self) -> Line {
        let (event, utc) = match &self.content {
            Content::Event { event, utc } => (event, utc),
            Content::Stored(line) => return line.clone(),
        };
        let mut members = match serde_json::to_value(&event.kind) {
            Ok(Value::Object(members)) => members,
            _ => serde_json::Map::new(),
        };
        let kind = members.remove("kind").and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default();
        let device = members.get("device").or_else(|| members.get("registration"));
        let device = device.and_then(Value::as_str).map(str::to_owned);
        Line { number: self.number, at: utc.format(event.at), device, kind, event: Value::Object(members) }
    }
}

/// The latest lines, and whoever follows them.
pub struct Log {
    lines: VecDeque<Arc<Entry>>,
    kept: usize,
    next: u64,
    followers: broadcast::Sender<Arc<Entry>>,
}

impl Log {
    /// An empty log that keeps `kept` lines.
    pub fn new(kept: usize) -> Self {
        Self { lines: VecDeque::new(), kept: kept.max(1), next: 0, followers: broadcast::Sender::new(BEHIND) }
    }

    /// Takes back stored lines, oldest first.
    pub fn restore(&mut self, lines: Vec<(u64, Vec<u8>)>) {
        for (number, text) in lines {
            // A line that cannot be read is of an older version; its number stays taken.
            self.next = number + 1;
            if let Ok(line) = serde_json::from_slice::<Line>(&text) {
                self.keep(Arc::new(Entry { number, content: Content::Stored(Line { number, ..line }) }));
            }
        }
    }

    fn keep(&mut self, entry: Arc<Entry>) {
        if self.lines.len() == self.kept {
            self.lines.pop_front();
        }
        self.lines.push_back(entry);
    }

    /// Adds events; yields the lines as text if they are wanted for the store.
    pub fn append(&mut self, events: impl Iterator<Item = CloudEvent>, utc: Utc, text: bool) -> Vec<Vec<u8>> {
        let mut texts = Vec::new();
        for event in events {
            let entry = Arc::new(Entry { number: self.next, content: Content::Event { event, utc } });
            self.next += 1;
            if text {
                texts.push(serde_json::to_vec(&entry.line()).unwrap_or_default());
            }
            if self.followers.receiver_count() > 0 {
                // Whoever has gone in between misses nothing.
                let _ = self.followers.send(Arc::clone(&entry));
            }
            self.keep(entry);
        }
        texts
    }

    /// Lines from number `from` on, oldest first.
    pub fn since(&self, from: u64) -> impl DoubleEndedIterator<Item = &Arc<Entry>> {
        let first = self.lines.front().map_or(self.next, |entry| entry.number);
        let skip = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX).min(self.lines.len());
        self.lines.range(skip..)
    }

    /// The number that the next line will have.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Follows new lines.
    pub fn follow(&self) -> broadcast::Receiver<Arc<Entry>> {
        self.followers.subscribe()
    }
}
