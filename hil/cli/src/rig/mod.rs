//! A virtual board on a virtual LAN with a local IoT Hub: everything that an update needs, in one object.

mod bridge;
mod flash_view;
mod observation;
mod service;
mod wiretap;

pub use flash_view::{NorView, NvmView};
pub use observation::{Observation, Running, What, reset_cause};

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as WallInstant};

use armv7m::Size;
use hub::{Cloud, CloudConfig, Endpoint, Enrolment, Keys};
use hub_broker::Place;
use same54_sim::{Board, BoardConfig, EventKind as BoardEvent, RunStop};
use sim_base::{Instant, Rng};
use sim_lan::{Lan, LanConfig, NtpFault, SharedLan};
use update_image::layout;

use crate::board::{BoardSession, LogReader};
use crate::broker;
use crate::coverage::{self, Recorder};
use crate::error::Error;
use crate::rig::bridge::{Bridge, BridgePort};
use crate::rig::service::CloudPort;

/// Virtual time between two looks at the board.
const QUANTUM: Duration = Duration::from_millis(1);
/// Wall-clock time after which a simulation is taken for hung.
const WATCHDOG: Duration = Duration::from_secs(300);
/// UTC at the start of virtual time: 2026-01-01T00:00:00Z.
pub const EPOCH: u64 = 1_767_225_600;

const HUB: Ipv4Addr = Ipv4Addr::new(10, 54, 0, 10);
const DPS: Ipv4Addr = Ipv4Addr::new(10, 54, 0, 11);
const FILES: Ipv4Addr = Ipv4Addr::new(10, 54, 0, 12);

/// Host names, as the device knows them.
pub const HUB_HOST: &str = "hil-hub.azure-devices.net";
/// The provisioning service's.
pub const DPS_HOST: &str = "global.azure-devices-provisioning.net";
/// The download server's.
pub const FILE_HOST: &str = "hil.b.nlu.dl.adu.microsoft.com";
const NTP_HOST: &str = "pool.ntp.org";
const ID_SCOPE: &str = "0ne00E54000";
/// The device under test.
pub const DEVICE: &str = "same54-0001";
/// Compatibility properties of the device.
pub const MANUFACTURER: &str = "Microchip";
/// See [`MANUFACTURER`].
pub const MODEL: &str = "SAME54-XPRO";

/// What is put onto the board, and the programs whose logs are to be understood.
pub struct Programs {
    /// ELF of the bootloader.
    pub bootloader: Vec<u8>,
    /// ELF and version of each firmware that may run.
    pub firmware: Vec<(String, Vec<u8>)>,
    /// First address and bytes of the bootloader.
    pub bootloader_image: (u32, Vec<u8>),
    /// The signed image that is flashed into the slot.
    pub slot_image: Vec<u8>,
}

/// Why the rig cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// The core locked up.
    Lockup,
    /// The core halted although nobody asked it to: a breakpoint instruction or a panic.
    Halted {
        /// Where.
        pc: u32,
    },
    /// The simulation takes longer than anybody would wait.
    Watchdog,
    /// The broker is gone.
    Broker(String),
}

/// Board, LAN and cloud.
pub struct Rig {
    session: BoardSession,
    board: Arc<Mutex<Board>>,
    lan: SharedLan,
    cloud: Arc<Mutex<Cloud>>,
    bridge: Option<Arc<Mutex<Bridge>>>,
    bootloader_log: LogReader,
    firmware_logs: Vec<(String, LogReader)>,
    observations: Vec<Observation>,
    running: Running,
    frames: u64,
    started: WallInstant,
    verbose: bool,
    stuck: Option<Stuck>,
    coverage: Option<Recorder>,
}

impl Rig {
    /// Makes the parts, powers the board and flashes it through probe-rs. The board is then held in reset-halt until
    /// [`start`](Self::start).
    ///
    /// With a broker, MQTT goes through it, and a run is not exactly repeatable.
    pub fn new(
        programs: &Programs,
        seed: u64,
        capture: Option<std::fs::File>,
        broker: Option<&Place>,
        verbose: bool,
    ) -> Result<Self, Error> {
        let rng = Rng::new(seed);
        let network = network(&rng, capture, broker)?;
        let mut board = Board::new(BoardConfig { seed: rng.fork("board").next_u64(), flash_timing: false });
        board.plug_ethernet(Box::new(network.lan.clone()));
        board.power_on();
        let board = Arc::new(Mutex::new(board));
        let mut session = BoardSession::virtual_board(Arc::clone(&board))?;
        let record = provisioning_record(&network.device_key)?;
        session.flash(&[
            (programs.bootloader_image.0, &programs.bootloader_image.1),
            (layout::SLOT.start, &programs.slot_image),
            (layout::PROVISIONING.start, &record),
        ])?;
        let rig = Self::assemble(session, board, network, programs, verbose)?;
        // What flashing did is no part of the scenario.
        rig.board().take_events();
        rig.board().set_flash_timing(true);
        Ok(rig)
    }

    /// The parts around a board without supply, which another rig of the same seed has flashed; switches it on and lets
    /// it run.
    pub fn around(mut board: Board, programs: &Programs, seed: u64) -> Result<Self, Error> {
        let network = network(&Rng::new(seed), None, None)?;
        board.plug_ethernet(Box::new(network.lan.clone()));
        board.power_on();
        let board = Arc::new(Mutex::new(board));
        let session = BoardSession::virtual_board(Arc::clone(&board))?;
        Self::assemble(session, board, network, programs, false)
    }

    fn assemble(
        session: BoardSession,
        board: Arc<Mutex<Board>>,
        network: Network,
        programs: &Programs,
        verbose: bool,
    ) -> Result<Self, Error> {
        let Network { lan, cloud, bridge, .. } = network;
        let firmware_logs = programs
            .firmware
            .iter()
            .map(|(version, elf)| Ok((version.clone(), LogReader::new(elf)?)))
            .collect::<Result<_, Error>>()?;
        Ok(Self {
            session,
            board,
            lan,
            cloud,
            bridge,
            bootloader_log: LogReader::new(&programs.bootloader)?,
            firmware_logs,
            observations: Vec::new(),
            running: Running::Off,
            frames: 0,
            started: WallInstant::now(),
            verbose,
            stuck: None,
            coverage: None,
        })
    }

    /// Resets the board and lets it run.
    pub fn start(&mut self) -> Result<(), Error> {
        self.session.reset()?;
        Ok(())
    }

    /// Cuts the supply inside the flash operation that begins after `skip` others, when `share / 256` of its time has
    /// passed.
    pub fn cut_power_in_flash_operation(&mut self, skip: u64, share: u8) {
        self.board().cut_power_in_flash_operation(skip, share);
    }

    /// Restores the supply and attaches the probe again.
    pub fn restore_power(&mut self) -> Result<(), Error> {
        self.board().power_on();
        self.session = BoardSession::virtual_board(Arc::clone(&self.board))?;
        Ok(())
    }

    /// Plugs or pulls the cable between board and LAN.
    pub fn set_link_up(&self, up: bool) {
        self.lan.lock().set_link_up(up);
    }

    /// True time at `at`, since 1970.
    pub fn utc(&self, at: Instant) -> Duration {
        self.lan.lock().utc(at)
    }

    /// The LAN's time server has this fault from now on.
    pub fn set_time_fault(&mut self, fault: NtpFault) {
        self.lan.lock().set_ntp_fault(fault);
    }

    /// Collects from now on what the programs execute.
    pub fn cover(&mut self, recorder: Option<Recorder>) {
        self.coverage = recorder;
        if let Some(recorder) = &mut self.coverage {
            recorder.start(&mut lock(&self.board));
        }
    }

    /// Ends [`cover`](Self::cover).
    pub fn uncover(&mut self) -> Option<Recorder> {
        if let Some(recorder) = &mut self.coverage {
            recorder.collect(&lock(&self.board));
        }
        self.coverage.take()
    }

    /// Lets `time` pass, at most one look at a time; stops early when the rig is stuck.
    pub fn advance(&mut self, time: Duration) {
        let end = self.now() + time;
        while self.now() < end && self.stuck.is_none() {
            self.look(end);
        }
    }

    /// As [`advance`](Self::advance), but comes back, with true, where the program begins a flash operation, if the board
    /// stops there ([`Board::stop_at_flash_operations`]).
    pub fn advance_to_operation(&mut self, time: Duration) -> bool {
        let end = self.now() + time;
        while self.now() < end && self.stuck.is_none() {
            if self.look(end) == RunStop::Operation {
                return true;
            }
        }
        false
    }

    /// Lets the board run for one look's worth of time, at most to `end`.
    fn look(&mut self, end: Instant) -> RunStop {
        let next = (self.now() + QUANTUM).min(end);
        let stop = self.board().run_until(next);
        self.collect();
        self.stuck = match stop {
            RunStop::Lockup => Some(Stuck::Lockup),
            RunStop::Halted => Some(Stuck::Halted { pc: self.board().register(15) }),
            RunStop::Time if self.broker_failure().is_some() => self.broker_failure().map(Stuck::Broker),
            RunStop::Time if self.started.elapsed() > WATCHDOG => Some(Stuck::Watchdog),
            RunStop::Time | RunStop::Operation => None,
        };
        stop
    }

    fn broker_failure(&self) -> Option<String> {
        self.bridge.as_ref().and_then(|bridge| bridge::lock(bridge).failed().map(str::to_owned))
    }

    /// Name and version of the broker, if MQTT goes through one.
    pub fn broker(&self) -> Option<String> {
        self.bridge.as_ref().map(|bridge| bridge::lock(bridge).version().to_owned())
    }

    /// Lets one look's worth of time pass.
    pub fn tick(&mut self) {
        self.advance(QUANTUM);
    }

    /// Everything seen so far, in order.
    pub fn observations(&self) -> &[Observation] {
        &self.observations
    }

    /// Which program runs.
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// Why time does not go on, if so.
    pub fn stuck(&self) -> Option<&Stuck> {
        self.stuck.as_ref()
    }

    /// Virtual time.
    pub fn now(&self) -> Instant {
        self.board().now()
    }

    /// Instructions executed and core cycles passed since the board was made.
    pub fn work(&self) -> (u64, u64) {
        let board = self.board();
        (board.instructions(), board.cycles())
    }

    /// Ethernet frames seen, both directions.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// The board.
    pub fn board(&self) -> MutexGuard<'_, Board> {
        lock(&self.board)
    }

    /// The cloud.
    pub fn cloud(&self) -> MutexGuard<'_, Cloud> {
        self.cloud.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// External flash, read without the firmware.
    pub fn nor(&self) -> NorView {
        NorView(Arc::clone(&self.board))
    }

    /// A copy of internal flash.
    pub fn nvm(&self) -> NvmView {
        NvmView(self.board().nvm().to_vec())
    }

    /// The image in the slot is `image`, byte for byte.
    pub fn slot_holds(&self, image: &[u8]) -> bool {
        self.board().nvm()[layout::SLOT.start as usize..].starts_with(image)
    }

    /// The device's last `count` log lines.
    pub fn log_tail(&self, count: usize) -> Vec<String> {
        let lines = self.observations.iter().filter_map(|seen| match &seen.what {
            What::Log(line) => Some(format!("{} {line}", seen.at)),
            _ => None,
        });
        let lines: Vec<_> = lines.collect();
        lines[lines.len().saturating_sub(count)..].to_vec()
    }

    /// Gathers what every part has to tell, in order of time.
    pub fn collect(&mut self) {
        let from = self.observations.len();
        let now = self.now();
        let events = self.board().take_events();
        if let Some(recorder) = &mut self.coverage
            && events.iter().any(|event| coverage::changes_flash(&event.kind))
        {
            recorder.flash_changed(&mut lock(&self.board));
        }
        for event in events {
            if matches!(event.kind, BoardEvent::Frame { .. }) {
                self.frames += 1;
                continue;
            }
            self.observations.push(Observation { at: event.at, what: What::Board(event.kind) });
        }
        let events = self.lan.lock().take_events();
        for (at, event) in events {
            self.observations.push(Observation { at, what: What::Lan(event) });
        }
        let events = self.cloud().take_events();
        for event in events {
            self.observations.push(Observation { at: event.at, what: What::Cloud(event.kind) });
        }
        if let Some(bridge) = &self.bridge {
            let events = bridge::lock(bridge).take_events();
            self.observations.extend(events.into_iter().map(|(at, kind)| Observation { at, what: What::Cloud(kind) }));
        }
        self.look_at_program(now);
        self.read_logs(now);
        // Stable: what one part tells stays in its own order.
        self.observations[from..].sort_by_key(|seen| seen.at);
    }

    fn look_at_program(&mut self, now: Instant) {
        let running = {
            let mut board = self.board();
            if board.is_powered() {
                const VTOR: u32 = 0xE000_ED08;
                match board.debug_read(VTOR, Size::Word) {
                    Ok(layout::VECTOR_TABLE) => Running::Application(version_in_slot(board.nvm())),
                    Ok(_) => Running::Bootloader,
                    Err(_) => Running::Off,
                }
            } else {
                Running::Off
            }
        };
        if running != self.running {
            self.running = running.clone();
            self.observations.push(Observation { at: now, what: What::Running(running) });
        }
    }

    fn read_logs(&mut self, now: Instant) {
        let mut lines = Vec::new();
        if self.running != Running::Off {
            lines.extend(self.session.poll_log(&mut self.bootloader_log));
            if let Running::Application(version) = &self.running
                && let Some((_, reader)) = self.firmware_logs.iter_mut().find(|(known, _)| known == version)
            {
                lines.extend(self.session.poll_log(reader));
            }
        }
        for line in lines {
            if self.verbose {
                eprintln!("  {now} {line}");
            }
            self.observations.push(Observation { at: now, what: What::Log(line) });
        }
    }
}

/// A panic in another user of the board has been reported already; the board itself is plain data.
fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A LAN with the local IoT Hub on it.
pub(crate) struct Network {
    /// What is plugged into the board.
    pub lan: SharedLan,
    /// The services.
    pub cloud: Arc<Mutex<Cloud>>,
    /// Key with which [`DEVICE`] is enrolled.
    pub device_key: [u8; 32],
    /// The broker, if MQTT goes through one.
    pub bridge: Option<Arc<Mutex<Bridge>>>,
}

/// Makes the network that every virtual board of this project is on.
pub(crate) fn network(rng: &Rng, capture: Option<std::fs::File>, broker: Option<&Place>) -> Result<Network, Error> {
    let mut lan = Lan::new(LanConfig { epoch_unix: EPOCH, seed: rng.fork("lan").next_u64(), ..LanConfig::default() });
    for (name, ip) in [(HUB_HOST, HUB), (DPS_HOST, DPS), (FILE_HOST, FILES), (NTP_HOST, sim_lan::GATEWAY)] {
        lan.host(name, ip);
    }
    let mut cloud = Cloud::new(CloudConfig {
        hub_host: HUB_HOST.to_owned(),
        dps_host: DPS_HOST.to_owned(),
        file_host: FILE_HOST.to_owned(),
        id_scope: ID_SCOPE.to_owned(),
        ..CloudConfig::new(rng.fork("cloud").next_u64(), EPOCH)
    })
    .map_err(|why| Error::Hub(why.to_string()))?;
    let mut device_key = [0; 32];
    rng.fork("device key").fill(&mut device_key);
    cloud.enroll(Enrolment::symmetric(DEVICE, device_key)).map_err(|why| Error::Hub(why.to_string()))?;
    let cloud = Arc::new(Mutex::new(cloud));
    let bridge = match broker {
        Some(place) => {
            let (broker, address) = broker::start_one(place, &Keys::fixtures(), HUB_HOST)?;
            Some(Arc::new(Mutex::new(Bridge::new(broker, Arc::clone(&cloud), address))))
        }
        None => None,
    };
    lan.listen(FILES, 80, Box::new(CloudPort::new(Arc::clone(&cloud), Endpoint::Http)));
    for ip in [HUB, DPS] {
        lan.listen(
            ip,
            8883,
            match &bridge {
                Some(bridge) => Box::new(BridgePort::new(Arc::clone(bridge))),
                None => Box::new(CloudPort::new(Arc::clone(&cloud), Endpoint::MqttTls)),
            },
        );
    }
    if let Some(file) = capture {
        // A capture that cannot be written ends with a LAN event that says so.
        let _ = lan.capture(Box::new(std::io::BufWriter::new(file)));
    }
    let lan = SharedLan::new(lan);
    Ok(Network { lan, cloud, device_key, bridge })
}

/// Version in the header of the image in the slot.
fn version_in_slot(nvm: &[u8]) -> String {
    let header = &nvm[layout::SLOT.start as usize..][..update_image::HEADER_FIELDS];
    header
        .try_into()
        .ok()
        .and_then(update_image::ImageHeader::parse)
        .map_or_else(|| "unknown".to_owned(), |header| header.version.to_string())
}

/// What a factory would write: who the device is, and whom it trusts.
pub(crate) fn provisioning_record(device_key: &[u8]) -> Result<Vec<u8>, Error> {
    let keys = Keys::fixtures();
    let root = keys.adu_root().map_err(|why| Error::Hub(why.to_string()))?;
    let mut buffer = vec![0; layout::PROVISIONING.len as usize];
    let record = provisioning::Builder::new(&mut buffer)
        .dps_host(DPS_HOST)
        .id_scope(ID_SCOPE)
        .registration_id(DEVICE)
        .symmetric_key(device_key)
        .ca_certificate(&keys.tls_root_der)
        .root_key(&provisioning::RootKey { kid: &root.kid, n: &root.n, e: root.e })
        .ntp_host(NTP_HOST)
        .manufacturer(MANUFACTURER)
        .model(MODEL)
        .finish()
        .map_err(|why| Error::Hub(format!("provisioning record: {why}")))?;
    Ok(record.to_vec())
}
