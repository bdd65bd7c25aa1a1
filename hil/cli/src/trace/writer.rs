//! Tracks and what is on them, as a stream of packets.

use std::collections::BTreeMap;
use std::io::{self, Write};

use prost::Message as _;
use sim_base::Instant;

use super::proto::{
    CLEARED, DebugAnnotation, EventName, EventType, InternedData, NEEDED, ProcessDescriptor, Trace, TracePacket,
    TrackDescriptor, TrackEvent,
};

/// What a board shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u64)]
pub enum Track {
    /// Functions by samples of the program counter.
    Functions = 2,
    /// Exceptions from entry to return.
    Exceptions,
    /// Internal flash: programs and erases.
    Nvm,
    /// External flash: programs and erases.
    Nor,
    /// Ethernet frames.
    Ethernet,
    /// Supply and resets.
    Power,
    /// Log lines of the programs.
    Log,
    /// The user LED.
    Led,
}

impl Track {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 8] =
        [Self::Power, Self::Functions, Self::Exceptions, Self::Log, Self::Nvm, Self::Nor, Self::Ethernet, Self::Led];

    /// As a person reads it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Functions => "functions",
            Self::Exceptions => "exceptions",
            Self::Nvm => "internal flash",
            Self::Nor => "external flash",
            Self::Ethernet => "Ethernet",
            Self::Power => "power and resets",
            Self::Log => "log",
            Self::Led => "LED",
        }
    }
}

/// The board's own track, which the others belong to.
const BOARD: u64 = 1;
/// All packets are of one sequence.
const SEQUENCE: u32 = 1;

/// A detail of an event.
#[derive(Clone, Debug)]
pub enum Detail<'a> {
    /// A number.
    Number(&'static str, u64),
    /// A text.
    Text(&'static str, &'a str),
}

/// Writes a trace.
pub struct Writer<W> {
    out: W,
    names: BTreeMap<String, u64>,
    /// The first error; nothing is written after it.
    error: Option<io::Error>,
}

impl<W: Write> Writer<W> {
    /// Begins a trace.
    pub fn new(out: W) -> Self {
        let mut writer = Self { out, names: BTreeMap::new(), error: None };
        let board = TrackDescriptor {
            uuid: Some(BOARD),
            process: Some(ProcessDescriptor {
                pid: Some(1),
                process_name: Some("SAM E54 Xplained Pro (virtual)".to_owned()),
            }),
            ..TrackDescriptor::default()
        };
        writer.packet(TracePacket {
            sequence_flags: Some(CLEARED),
            track_descriptor: Some(board),
            ..TracePacket::default()
        });
        for track in Track::ALL {
            let track = TrackDescriptor {
                uuid: Some(track as u64),
                name: Some(track.name().to_owned()),
                parent_uuid: Some(BOARD),
                ..TrackDescriptor::default()
            };
            writer.packet(TracePacket { track_descriptor: Some(track), ..TracePacket::default() });
        }
        writer
    }

    /// A slice begins.
    pub fn begin(&mut self, track: Track, at: Instant, name: &str, details: &[Detail<'_>]) {
        self.event(track, at, EventType::SliceBegin, Some(name), details);
    }

    /// The slice that began last ends.
    pub fn end(&mut self, track: Track, at: Instant) {
        self.event(track, at, EventType::SliceEnd, None, &[]);
    }

    /// Something without duration.
    pub fn instant(&mut self, track: Track, at: Instant, name: &str, details: &[Detail<'_>]) {
        self.event(track, at, EventType::Instant, Some(name), details);
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// The first that occurred.
    pub fn finish(&mut self) -> io::Result<()> {
        match self.error.take() {
            Some(error) => Err(error),
            None => self.out.flush(),
        }
    }

    fn event(&mut self, track: Track, at: Instant, kind: EventType, name: Option<&str>, details: &[Detail<'_>]) {
        let mut interned_data = None;
        let name_iid = name.map(|name| {
            let next = self.names.len() as u64 + 1;
            match self.names.get(name) {
                Some(iid) => *iid,
                None => {
                    self.names.insert(name.to_owned(), next);
                    let name = EventName { iid: Some(next), name: Some(name.to_owned()) };
                    interned_data = Some(InternedData { event_names: vec![name] });
                    next
                }
            }
        });
        let debug_annotations = details.iter().map(annotation).collect();
        let event =
            TrackEvent { debug_annotations, r#type: Some(kind as i32), name_iid, track_uuid: Some(track as u64) };
        self.packet(TracePacket {
            timestamp: Some(at.as_nanos()),
            track_event: Some(event),
            interned_data,
            sequence_flags: Some(NEEDED),
            ..TracePacket::default()
        });
    }

    fn packet(&mut self, mut packet: TracePacket) {
        packet.trusted_packet_sequence_id = Some(SEQUENCE);
        if self.error.is_none() {
            let bytes = Trace { packet: vec![packet] }.encode_to_vec();
            self.error = self.out.write_all(&bytes).err();
        }
    }
}

fn annotation(detail: &Detail<'_>) -> DebugAnnotation {
    let empty = DebugAnnotation::default();
    match detail {
        Detail::Number(name, value) => {
            DebugAnnotation { name: Some((*name).to_owned()), uint_value: Some(*value), ..empty }
        }
        Detail::Text(name, text) => {
            DebugAnnotation { name: Some((*name).to_owned()), string_value: Some((*text).to_owned()), ..empty }
        }
    }
}
