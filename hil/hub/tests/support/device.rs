//! One simulated device: its reset, its link, its flash and its bootloader, around the firmware's protocol crates.

use std::time::Duration;

use adu_agent::download::{Connection, Url};
use adu_agent::{Action, Agent, Boot, Config, Crypto, DownloadError, REPORT_LEN, State};
use hub::{ConnId, Endpoint};
use iot_hub::mqtt::Receiver;
use iot_hub::sas::TOKEN_LEN;
use iot_hub::{dps, hub as client};
use ring::digest::{SHA256, digest};
use sim_base::Instant;

use super::{NAME, PROVIDER, STUCK, World};
use crate::support::{HUB, MODEL};

const PRODUCT: &str = "same54/0.1.0";
/// Bytes of a file per HTTP request.
const RANGE_LEN: u32 = 1000;
/// One in so many chunks of a download is followed by a power cut.
const CUT_ONE_IN: u64 = 60;

/// What is wrong with a device; what it reports follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// External flash does not keep what was written.
    Flash,
    /// The file cannot be handed to the bootloader.
    Handover,
    /// The bootloader refuses the image.
    Refusal,
    /// The new image does not run on this unit, so the bootloader takes it back.
    Crash,
}

impl Fault {
    pub const ALL: [Self; 4] = [Self::Flash, Self::Handover, Self::Refusal, Self::Crash];
}

struct Sha;

impl Crypto for Sha {
    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        sha256(data)
    }

    fn rs256_verify(&self, n: &[u8], e: u32, digest: &[u8; 32], signature: &[u8]) -> bool {
        device_tls::rsa_pkcs1_sha256_verify_digest(n, e, digest, signature)
    }
}

pub fn sha256(data: &[u8]) -> [u8; 32] {
    digest(&SHA256, data).as_ref().try_into().expect("32 bytes")
}

enum Live {
    Off,
    Registering(ConnId, Box<dps::Client<'static>>),
    Connected(Box<Session>),
}

struct Session {
    conn: ConnId,
    client: client::Client<'static>,
    agent: Agent<'static>,
    transfer: Option<Transfer>,
}

struct Transfer {
    conn: ConnId,
    http: Connection,
    /// Bytes that have arrived.
    answer: Vec<u8>,
}

pub struct Device {
    pub id: &'static str,
    pub group: &'static str,
    /// Version of the image in the slot that runs.
    pub version: &'static str,
    pub fault: Option<Fault>,
    index: usize,
    key: [u8; 32],
    is_registered: bool,
    /// What outlives a reset: the agent's state as it was stored, and external flash.
    state: [u8; State::LEN],
    file: Vec<u8>,
    boot: Boot,
    live: Live,
    inbox: Vec<u8>,
    wake: Instant,
    /// Latency of its link, milliseconds.
    latency: u64,
}

impl Device {
    /// A device that is off, as it leaves the factory.
    pub fn new(
        index: usize,
        id: &'static str,
        group: &'static str,
        key: [u8; 32],
        is_registered: bool,
        version: &'static str,
        latency: u64,
    ) -> Self {
        Self {
            id,
            group,
            version,
            fault: None,
            index,
            key,
            is_registered,
            state: State::default().to_bytes(),
            file: Vec::new(),
            boot: Boot::Confirmed,
            live: Live::Off,
            inbox: Vec::new(),
            wake: Instant::NEVER,
            latency,
        }
    }

    pub fn plan(&mut self, world: &mut World, at: Instant) {
        if at < self.wake {
            world.queue.remove(&(self.wake, self.index));
            world.queue.insert((at, self.index));
            self.wake = at;
        }
    }

    fn plan_ms(&mut self, world: &mut World, at_ms: u64) {
        if at_ms != u64::MAX {
            self.plan(world, (Instant::ZERO + Duration::from_millis(at_ms)).max(world.now + Duration::from_millis(1)));
        }
    }

    /// Bytes have arrived.
    pub fn deliver(&mut self, world: &mut World, conn: ConnId, bytes: &[u8]) {
        let transfer = match &mut self.live {
            Live::Connected(session) => session.transfer.as_mut().filter(|transfer| transfer.conn == conn),
            _ => None,
        };
        transfer.map_or(&mut self.inbox, |transfer| &mut transfer.answer).extend_from_slice(bytes);
        let at = world.after(self.latency, 2 * self.latency);
        self.plan(world, at);
    }

    pub fn wake(&mut self, world: &mut World, buffers: &mut Buffers) {
        self.wake = Instant::NEVER;
        match core::mem::replace(&mut self.live, Live::Off) {
            Live::Off if self.is_registered => self.connect(world, buffers),
            Live::Off => {
                let config = self.dps_config(world);
                let mut client = dps::Client::new(config);
                let mut password = [0; TOKEN_LEN];
                let password = config.token(&self.key, expiry(world), &mut password).expect("fits");
                let len = client.connect(password, world.ms(), &mut buffers.out).expect("fits");
                let conn = world.open(Endpoint::MqttPlain, self.index);
                world.send(conn, &buffers.out[..len]);
                self.live = Live::Registering(conn, Box::new(client));
            }
            Live::Registering(conn, client) => self.register(world, buffers, conn, client),
            Live::Connected(session) => self.work(world, buffers, session),
        }
    }

    fn dps_config(&self, world: &World) -> dps::Config<'static> {
        dps::Config { id_scope: world.id_scope, registration_id: self.id, model_id: Some(MODEL), product: PRODUCT }
    }

    fn register(
        &mut self,
        world: &mut World,
        buffers: &mut Buffers,
        conn: ConnId,
        mut client: Box<dps::Client<'static>>,
    ) {
        let mut receiver = Receiver::new(&mut buffers.packet);
        fill(&mut receiver, &mut self.inbox);
        while let Some(packet) = receiver.packet().expect("well-formed") {
            world.counts.packets += 1;
            match client.handle(packet, world.now.as_millis()).expect("the protocol") {
                dps::Event::Nothing => {}
                dps::Event::Assigned(at) => {
                    assert_eq!((at.hub_host, at.device_id), (HUB, self.id));
                    self.is_registered = true;
                }
                failed => panic!("{}: {failed:?}", self.id),
            }
        }
        if self.is_registered {
            world.counts.provisioned += 1;
            world.close(conn);
            self.connect(world, buffers);
            return;
        }
        let len = client.poll(world.ms(), &mut buffers.out).expect("in time");
        world.send(conn, &buffers.out[..len]);
        self.plan_ms(world, client.deadline());
        self.live = Live::Registering(conn, client);
    }

    /// The device has started.
    fn connect(&mut self, world: &mut World, buffers: &mut Buffers) {
        let config = Config {
            manufacturer: PROVIDER,
            model: NAME,
            properties: &[],
            agent_version: "same54;agent/0.1.0",
            running_version: self.version,
            root_keys: world.roots,
            max_file_len: 512 * 1024,
        };
        let state = State::from_bytes(&self.state).expect("as it was stored");
        let agent = Agent::new(config, state, self.boot).expect("a sound configuration");
        let config = client::Config {
            host: HUB,
            device_id: self.id,
            model_id: Some(MODEL),
            product: PRODUCT,
            keep_alive_s: 240,
        };
        let mut client = client::Client::new(config);
        let mut password = [0; TOKEN_LEN];
        let password = config.token(&self.key, expiry(world), &mut password).expect("fits");
        let len = client.connect(password, world.ms(), &mut buffers.out).expect("fits");
        let conn = world.open(Endpoint::MqttPlain, self.index);
        world.send(conn, &buffers.out[..len]);
        self.plan_ms(world, client.deadline());
        self.live = Live::Connected(Box::new(Session { conn, client, agent, transfer: None }));
    }

    /// Does what a connected device has to do, and connects it for the next time unless it resets.
    fn work(&mut self, world: &mut World, buffers: &mut Buffers, mut session: Box<Session>) {
        let Session { conn, client, agent, transfer } = &mut *session;
        let mut receiver = Receiver::new(&mut buffers.packet);
        fill(&mut receiver, &mut self.inbox);
        while let Some(packet) = receiver.packet().expect("well-formed") {
            world.counts.packets += 1;
            match client.handle(packet).expect("the protocol") {
                client::Event::Ready => agent.connected(),
                client::Event::Twin { status: 200, document } => agent.twin(&Sha, document).expect("a twin"),
                client::Event::Desired { document, .. } => agent.desired_patch(&Sha, document).expect("a patch"),
                client::Event::Reported { status, .. } => {
                    assert_eq!(status, 204, "{}", self.id);
                    agent.report_answered(status, world.ms());
                }
                client::Event::Connected | client::Event::Nothing => {}
                other => panic!("{}: {other:?}", self.id),
            }
        }
        let len = client.poll(world.ms(), &mut buffers.out).expect("in time");
        world.send(*conn, &buffers.out[..len]);
        if self.advance(world, agent, transfer) == Power::Cut {
            world.counts.power_cuts += 1;
            return self.reset(world, session, 5_000, 60_000);
        }
        let mut report = [0; REPORT_LEN];
        loop {
            let now = world.ms();
            let len = match agent.poll(now, &mut report) {
                Action::None => break,
                Action::Report(patch) => {
                    world.counts.reports += 1;
                    client.report(patch, now, &mut buffers.out).expect("fits")
                }
                Action::ReadTwin => client.read_twin(now, &mut buffers.out).expect("fits"),
                Action::Persist => {
                    self.state = agent.state().to_bytes();
                    0
                }
                Action::Download => {
                    let wanted = agent.download().expect("a download");
                    if !wanted.resume {
                        self.file.clear();
                    }
                    let http = Connection::new(wanted.size);
                    let conn = world.open(Endpoint::Http, self.index);
                    let started = transfer.insert(Transfer { conn, http, answer: Vec::new() });
                    if self.file.len() < wanted.size as usize {
                        request(world, agent, started, self.file.len());
                    } else {
                        self.read_back(world, agent, transfer);
                    }
                    0
                }
                Action::CancelDownload => {
                    // It may have been replaced before it began.
                    if let Some(running) = transfer.take() {
                        world.counts.replaced_downloads += 1;
                        world.close(running.conn);
                    }
                    self.file.clear();
                    agent.download_finished(Err(DownloadError::Cancelled));
                    0
                }
                Action::Install if self.fault == Some(Fault::Handover) => {
                    agent.install_failed();
                    0
                }
                Action::Install => {
                    self.bootloader(world);
                    return self.reset(world, session, 4_000, 20_000);
                }
                Action::Confirm => {
                    assert_eq!(self.boot, Boot::Trial, "{}", self.id);
                    self.boot = Boot::Confirmed;
                    agent.confirm_finished(true);
                    0
                }
            };
            world.send(*conn, &buffers.out[..len]);
        }
        let deadline = client.deadline();
        self.plan_ms(world, deadline);
        self.live = Live::Connected(session);
    }

    /// Takes what a download has brought.
    fn advance(&mut self, world: &mut World, agent: &mut Agent<'_>, transfer: &mut Option<Transfer>) -> Power {
        let Some(running) = transfer else { return Power::On };
        let answer = core::mem::take(&mut running.answer);
        let mut rest = &answer[..];
        let mut is_done = false;
        while !rest.is_empty() {
            let chunk = running.http.receive(rest).expect("the file server answers");
            assert_eq!(chunk.offset as usize, self.file.len(), "{}", self.id);
            self.file.extend_from_slice(chunk.data);
            rest = &rest[chunk.consumed..];
            is_done = chunk.is_done;
        }
        if !is_done {
            return Power::On;
        }
        world.counts.ranges += 1;
        if world.rng.below(CUT_ONE_IN) == 0 {
            return Power::Cut;
        }
        if self.file.len() < agent.download().expect("a download").size as usize {
            request(world, agent, running, self.file.len());
        } else {
            self.read_back(world, agent, transfer);
        }
        Power::On
    }

    /// The file is complete: is it what was signed?
    fn read_back(&mut self, world: &mut World, agent: &mut Agent<'_>, transfer: &mut Option<Transfer>) {
        if let Some(ended) = transfer.take() {
            world.close(ended.conn);
        }
        if self.fault == Some(Fault::Flash) {
            self.file[STUCK] &= 0x0F;
        }
        let is_good = sha256(&self.file) == *agent.download().expect("a download").sha256;
        if is_good {
            world.counts.good_files += 1;
        } else {
            world.counts.bad_files += 1;
        }
        agent.download_finished(if is_good { Ok(()) } else { Err(DownloadError::Hash) });
    }

    /// Installs the file, as far as the device lets it.
    fn bootloader(&mut self, world: &mut World) {
        let image = world.images.iter().find(|(_, image)| *image == self.file);
        let (version, _) = image.expect("only files with a signed hash get here");
        self.boot = match self.fault {
            Some(Fault::Refusal) => Boot::Refused { cause: 2 },
            Some(Fault::Crash) => Boot::RolledBack { cause: 1 },
            _ => {
                world.counts.installed += 1;
                self.version = version;
                Boot::Trial
            }
        };
    }

    /// The device is away for a while.
    fn reset(&mut self, world: &mut World, session: Box<Session>, from_ms: u64, to_ms: u64) {
        world.close(session.conn);
        if let Some(transfer) = session.transfer {
            world.close(transfer.conn);
        }
        self.inbox.clear();
        let at = world.after(from_ms, to_ms);
        self.plan(world, at);
    }
}

#[derive(PartialEq, Eq)]
enum Power {
    On,
    Cut,
}

fn expiry(world: &World) -> u64 {
    world.cloud.utc().seconds(world.now) + 86_400
}

fn request(world: &mut World, agent: &Agent<'_>, transfer: &mut Transfer, offset: usize) {
    let wanted = agent.download().expect("a download");
    let url = Url::parse(wanted.url).expect("a URL");
    let offset = offset as u32;
    let mut request = [0; 1024];
    let len = (wanted.size - offset).min(RANGE_LEN);
    let len = transfer.http.request(&url, offset, len, &mut request).expect("a request");
    world.send(transfer.conn, &request[..len]);
}

/// The cloud sends whole packets, so what is left over would never be completed.
fn fill(receiver: &mut Receiver<'_>, inbox: &mut Vec<u8>) {
    let space = receiver.space();
    space[..inbox.len()].copy_from_slice(inbox);
    receiver.filled(inbox.len());
    inbox.clear();
}

/// Room that the devices use one after the other.
pub struct Buffers {
    packet: Vec<u8>,
    out: Vec<u8>,
}

impl Buffers {
    pub fn new() -> Self {
        Self { packet: vec![0; 16 * 1024], out: vec![0; 4096] }
    }
}
