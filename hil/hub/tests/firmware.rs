//! The firmware's own protocol crates against the services: what the device runs, without its chip.

mod support;

use std::time::Duration;

use adu_agent::download::{Connection, Url};
use adu_agent::{Action, Agent, Boot, Config, Crypto, DownloadError, REPORT_LEN, RootKey, State};
use hub::update::Forgery;
use hub::{DeployOptions, DeploymentId, Enrolment, EventKind, FileFault, ImportManifest, UpdateId};
use iot_hub::mqtt::Receiver;
use iot_hub::sas::TOKEN_LEN;
use ring::digest::{SHA256, digest};
use support::*;

struct RealCrypto;

impl Crypto for RealCrypto {
    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        sha256(data)
    }

    fn rs256_verify(&self, n: &[u8], e: u32, digest: &[u8; 32], signature: &[u8]) -> bool {
        device_tls::rsa_pkcs1_sha256_verify_digest(n, e, digest, signature)
    }
}

fn sha256(data: &[u8]) -> [u8; 32] {
    digest(&SHA256, data).as_ref().try_into().expect("32 bytes")
}

/// What outlives a reset of the device.
struct Device {
    net: Net,
    version: &'static str,
    state: State,
    boot: Boot,
    file: Vec<u8>,
    root: hub::RootKey,
}

/// How a power cycle ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The agent has nothing to do any more.
    Quiet,
    /// The agent wants the bootloader to install the file.
    Install,
}

impl Device {
    fn new() -> Self {
        let mut net = Net::new(11);
        net.cloud.enroll(Enrolment::symmetric("e54", KEY)).expect("a new id");
        let root = net.cloud.config().keys.adu_root().expect("the root");
        Self { net, version: "1.0.0", state: State::default(), boot: Boot::Confirmed, file: Vec::new(), root }
    }

    fn now_ms(&self) -> u64 {
        self.net.now.as_millis()
    }

    /// Registers, as the firmware's client does; yields the assignment.
    fn provision(&mut self) -> (String, String) {
        let scope = self.net.cloud.config().id_scope.clone();
        let config = iot_hub::dps::Config {
            id_scope: &scope,
            registration_id: "e54",
            model_id: Some(MODEL),
            product: "same54/0.1.0",
        };
        let mut wire = self.net.tls(DPS);
        let (mut buffer, mut out, mut password) = (vec![0; 2048], vec![0; 2048], [0; TOKEN_LEN]);
        let mut receiver = Receiver::new(&mut buffer);
        let mut client = iot_hub::dps::Client::new(config);
        let password = config.token(&KEY, EPOCH + 3600, &mut password).expect("fits");
        let len = client.connect(password, self.now_ms(), &mut out).expect("fits");
        self.net.send(&mut wire, &out[..len]);
        for _ in 0..40 {
            receive(&mut receiver, &mut wire);
            while let Some(packet) = receiver.packet().expect("well-formed") {
                match client.handle(packet, self.net.now.as_millis()).expect("the protocol") {
                    iot_hub::dps::Event::Nothing => {}
                    iot_hub::dps::Event::Assigned(at) => return (at.hub_host.to_owned(), at.device_id.to_owned()),
                    failed => panic!("{failed:?}"),
                }
            }
            let len = client.poll(self.now_ms(), &mut out).expect("in time");
            if len == 0 {
                self.net.pass(Duration::from_millis(500));
            }
            self.net.send(&mut wire, &out[..len]);
        }
        panic!("never assigned");
    }

    /// One power cycle, from the connection until the agent is quiet or wants to install; `meanwhile` runs once, when
    /// the agent is quiet for the first time.
    fn run(&mut self, meanwhile: impl FnOnce(&mut Net)) -> End {
        let root = self.root.clone();
        let roots = [RootKey { kid: &root.kid, n: &root.n, e: root.e }];
        let config = Config {
            manufacturer: "Microchip",
            model: "SAME54",
            properties: &[],
            agent_version: "same54;agent/0.1.0",
            running_version: self.version,
            root_keys: &roots,
            max_file_len: 512 * 1024,
        };
        let mut agent = Agent::new(config, self.state, self.boot).expect("a sound configuration");
        let (host, id) = self.provision();
        let hub_config = iot_hub::hub::Config {
            host: &host,
            device_id: &id,
            model_id: Some(MODEL),
            product: "same54/0.1.0",
            keep_alive_s: 240,
        };
        let mut wire = self.net.tls(HUB);
        let (mut buffer, mut out, mut password) = (vec![0; 16 * 1024], vec![0; 4096], [0; TOKEN_LEN]);
        let mut receiver = Receiver::new(&mut buffer);
        let mut client = iot_hub::hub::Client::new(hub_config);
        let expiry = self.net.cloud.utc().seconds(self.net.now) + 3600;
        let password = hub_config.token(&KEY, expiry, &mut password).expect("fits");
        let len = client.connect(password, self.now_ms(), &mut out).expect("fits");
        self.net.send(&mut wire, &out[..len]);
        let mut meanwhile = Some(meanwhile);
        let mut quiet = 0;
        while quiet < 4 {
            quiet += 1;
            self.net.pump(&mut wire);
            receive(&mut receiver, &mut wire);
            while let Some(packet) = receiver.packet().expect("well-formed") {
                quiet = 0;
                match client.handle(packet).expect("the protocol") {
                    iot_hub::hub::Event::Ready => agent.connected(),
                    iot_hub::hub::Event::Twin { status: 200, document } => {
                        agent.twin(&RealCrypto, document).expect("a twin");
                    }
                    iot_hub::hub::Event::Desired { document, .. } => {
                        agent.desired_patch(&RealCrypto, document).expect("a patch");
                    }
                    iot_hub::hub::Event::Reported { status, .. } => {
                        assert_eq!(status, 204);
                        agent.report_answered(status, self.net.now.as_millis());
                    }
                    iot_hub::hub::Event::Connected | iot_hub::hub::Event::Nothing => {}
                    other => panic!("{other:?}"),
                }
            }
            let len = client.poll(self.now_ms(), &mut out).expect("in time");
            self.net.send(&mut wire, &out[..len]);
            let mut report = [0; REPORT_LEN];
            loop {
                let now = self.now_ms();
                let len = match agent.poll(now, &mut report) {
                    Action::None => break,
                    Action::Report(patch) => client.report(patch, now, &mut out).expect("fits"),
                    Action::ReadTwin => client.read_twin(now, &mut out).expect("fits"),
                    Action::Persist => {
                        self.state = State::from_bytes(&agent.state().to_bytes()).expect("round trip");
                        0
                    }
                    Action::Download => {
                        let outcome = self.download(&agent);
                        agent.download_finished(outcome);
                        0
                    }
                    Action::Confirm => {
                        agent.confirm_finished(true);
                        0
                    }
                    Action::Install => {
                        self.net.cloud.closed(self.net.now, wire.conn);
                        return End::Install;
                    }
                    Action::CancelDownload => panic!("nothing was cancelled"),
                };
                quiet = 0;
                self.net.send(&mut wire, &out[..len]);
            }
            self.net.pass(Duration::from_millis(100));
            if quiet == 3
                && let Some(meanwhile) = meanwhile.take()
            {
                meanwhile(&mut self.net);
                quiet = 0;
            }
        }
        self.net.cloud.closed(self.net.now, wire.conn);
        End::Quiet
    }

    fn download(&mut self, agent: &Agent<'_>) -> Result<(), DownloadError> {
        let wanted = agent.download().expect("a download");
        let url = Url::parse(wanted.url).expect("a URL");
        let mut wire = self.net.http();
        let mut connection = Connection::new(wanted.size);
        let mut request = [0; 512];
        self.file.clear();
        while (self.file.len() as u32) < wanted.size {
            let offset = self.file.len() as u32;
            let len = (wanted.size - offset).min(4096);
            let len = connection.request(&url, offset, len, &mut request).expect("a request");
            self.net.send(&mut wire, &request[..len]);
            let response = std::mem::take(&mut wire.plaintext);
            let mut rest = &response[..];
            loop {
                let chunk = connection.receive(rest).map_err(|_| DownloadError::Network)?;
                assert_eq!(chunk.offset as usize, self.file.len());
                self.file.extend_from_slice(chunk.data);
                rest = &rest[chunk.consumed..];
                if chunk.is_done {
                    break;
                }
                assert!(!rest.is_empty(), "the range is not complete");
            }
        }
        if sha256(&self.file) == *wanted.sha256 { Ok(()) } else { Err(DownloadError::Hash) }
    }

    /// Imports 2.0.0 and deploys it while the device is connected; yields how the power cycle ended.
    fn update(&mut self, image: &[u8], fault: FileFault, forgery: Option<Forgery>) -> (End, DeploymentId) {
        let mut deployed = None;
        let end = self.run(|net| {
            let id = UpdateId { provider: "Microchip".into(), name: "SAME54".into(), version: "2.0.0".into() };
            let created = "2026-01-01T00:00:00.0000000Z";
            let manifest = ImportManifest::firmware(id, "Microchip", "SAME54", "fw.bin", image, created);
            let id = net.cloud.import_update(net.now, &manifest, &[("fw.bin", image)]).expect("imports");
            net.cloud.set_file_fault("fw.bin", fault);
            let options = DeployOptions { forgery, ..DeployOptions::default() };
            deployed = Some(net.cloud.deploy(net.now, "e54", &id, options).expect("the device is compatible"));
        });
        (end, deployed.expect("the agent came to rest"))
    }

    #[track_caller]
    fn judged(&self, deployment: &DeploymentId, state: hub::State) -> hub::Judgement {
        let judgement = self.net.cloud.judge(deployment).expect("known");
        assert_eq!(judgement.state, state, "{judgement:?}");
        judgement
    }
}

fn receive(receiver: &mut Receiver<'_>, wire: &mut Wire) {
    let space = receiver.space();
    let len = wire.plaintext.len().min(space.len());
    space[..len].copy_from_slice(&wire.plaintext[..len]);
    wire.plaintext.drain(..len);
    receiver.filled(len);
}

fn image() -> Vec<u8> {
    (0..20_000_u32).map(|i| (i ^ (i >> 5)) as u8).collect()
}

#[test]
fn the_firmwares_crates_update_the_device_to_the_services_satisfaction() {
    let mut device = Device::new();
    let (end, deployment) = device.update(&image(), FileFault::default(), None);
    assert_eq!(end, End::Install);
    assert!(device.file == image(), "the download differs");
    device.judged(&deployment, hub::State::InProgress);
    // The bootloader's work.
    (device.version, device.boot) = ("2.0.0", Boot::Trial);
    assert_eq!(device.run(|_| ()), End::Quiet);
    let judgement = device.judged(&deployment, hub::State::Succeeded);
    assert_eq!(judgement.result_code, Some(700));
    // Another start finds the same deployment in the twin and leaves it alone.
    device.boot = Boot::Confirmed;
    assert_eq!(device.run(|_| ()), End::Quiet);
    device.judged(&deployment, hub::State::Succeeded);
    let refusals = device.net.kinds().into_iter().filter(|kind| {
        matches!(kind, EventKind::TwinRefused { .. } | EventKind::ConnectRefused { .. } | EventKind::DpsRefused { .. })
    });
    assert_eq!(refusals.collect::<Vec<_>>(), []);
}

#[test]
fn a_flipped_byte_is_reported_as_a_failure() {
    let mut device = Device::new();
    let fault = FileFault { flip_byte_at: Some(12_345), ..FileFault::default() };
    let (end, deployment) = device.update(&image(), fault, None);
    assert_eq!(end, End::Quiet);
    let judgement = device.judged(&deployment, hub::State::Failed);
    assert!(judgement.why.starts_with("the agent reports failure (state 255)"), "{judgement:?}");
}

#[test]
fn every_forgery_is_reported_and_nothing_is_downloaded() {
    for forgery in [Forgery::Signature, Forgery::SigningKey, Forgery::Manifest] {
        let mut device = Device::new();
        let (end, deployment) = device.update(&image(), FileFault::default(), Some(forgery));
        assert_eq!(end, End::Quiet);
        device.judged(&deployment, hub::State::Failed);
        assert!(!device.net.kinds().iter().any(|kind| matches!(kind, EventKind::RangeServed { .. })), "{forgery:?}");
    }
}

#[test]
fn what_is_signed_and_wrong_all_the_same_is_reported() {
    use hub::update::Forgery::{ExpiredUrl, FileHash, FileSize, MissingUrl};
    for forgery in [FileHash, FileSize, MissingUrl, ExpiredUrl] {
        let mut device = Device::new();
        let (end, deployment) = device.update(&image(), FileFault::default(), Some(forgery));
        assert_eq!(end, End::Quiet, "{forgery:?}");
        let judgement = device.judged(&deployment, hub::State::Failed);
        assert_eq!(judgement.reason, hub::Reason::AgentFailed, "{forgery:?}: {judgement:?}");
    }
}

#[test]
fn a_rollback_is_reported_as_a_failure_and_a_retry_heals_it() {
    let mut device = Device::new();
    let (_, deployment) = device.update(&image(), FileFault::default(), None);
    device.boot = Boot::RolledBack { cause: 1 };
    assert_eq!(device.run(|_| ()), End::Quiet);
    device.judged(&deployment, hub::State::Failed);
    device.boot = Boot::Confirmed;
    let end = device.run(|net| assert_eq!(net.cloud.retry(net.now, &deployment), Ok(1)));
    assert_eq!(end, End::Install);
    (device.version, device.boot) = ("2.0.0", Boot::Trial);
    device.run(|_| ());
    device.judged(&deployment, hub::State::Succeeded);
}
