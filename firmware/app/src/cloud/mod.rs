//! The cloud task: registration, the session with the hub, the update agent between them.

mod error;
mod hub;
mod link;
mod provision;

use adu_agent::{Action, Agent, Boot, ConfigError, DownloadError, Phase, REPORT_LEN};
use device_tls::{INBOUND_LEN, OUTBOUND_LEN};
use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Instant, Timer, with_timeout};
use embedded_storage::nor_flash::NorFlash;
use heapless::String;
use update_image::boot_record::{BootRecord, Status};

use crate::download::{Downloads, Job};
use crate::log::{info, warn};
use crate::net::Port;
use crate::settings::{Route, Settings};
use crate::storage::Storage;
use crate::supervision::{sign_of_life, trial_over};
use crate::{VERSION, entropy, wall_clock};

/// Longest MQTT packet from the hub: the twin.
const RECEIVE: usize = 16 * 1024;
/// Longest MQTT packet to the hub: a report with its topic.
const TRANSMIT: usize = REPORT_LEN + 256;

/// MQTT over TLS.
const MQTT_PORT: u16 = 8883;
/// The model that announces a Device Update agent.
const MODEL_ID: &str = "dtmi:azure:iot:deviceUpdateContractModel;2";
/// What this software calls itself.
const PRODUCT: &str = concat!("same54-ota/", env!("APP_VERSION"));
/// `aduVer` of the agent.
pub const AGENT_VERSION: &str = concat!("same54;agent/", env!("CARGO_PKG_VERSION"));
/// Life of a token.
const TOKEN_LIFE_S: u64 = 3600;

/// Pause before a new connection; doubles up to the longest.
const FIRST_PAUSE_MS: u64 = 1_000;
const LONGEST_PAUSE_MS: u64 = 60_000;
/// How often a waiting cloud task shows that it is alive.
const LIFE_PERIOD: Duration = Duration::from_secs(30);
/// Time for a closing connection to get its last bytes out, before a reset.
const GOODBYE: Duration = Duration::from_secs(5);
/// Time for a debugger to collect the last log lines, before a reset.
const LOG_GRACE: Duration = Duration::from_millis(50);

/// Buffers of a connection; in a static, because they are larger than a stack should bear.
pub struct Buffers {
    inbound: [u8; INBOUND_LEN],
    outbound: [u8; OUTBOUND_LEN],
    receive: [u8; RECEIVE],
    transmit: [u8; TRANSMIT],
    report: [u8; REPORT_LEN],
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

impl Buffers {
    /// All zero.
    pub const fn new() -> Self {
        Self {
            inbound: [0; INBOUND_LEN],
            outbound: [0; OUTBOUND_LEN],
            receive: [0; RECEIVE],
            transmit: [0; TRANSMIT],
            report: [0; REPORT_LEN],
        }
    }
}

/// Where the device belongs.
struct Assignment {
    host: String<128>,
    device_id: String<128>,
}

impl Assignment {
    fn new(host: &str, device_id: &str) -> Option<Self> {
        Some(Self { host: String::try_from(host).ok()?, device_id: String::try_from(device_id).ok()? })
    }
}

/// What the cloud task works with.
pub struct Parts<'a, F: NorFlash, N: NorFlash> {
    /// Who the device is.
    pub settings: &'a Settings<'a>,
    /// TLS with the trusted authorities.
    pub tls: device_tls::Config,
    /// The way to the network.
    pub port: &'static Port,
    /// External flash.
    pub storage: &'a Storage<F>,
    /// What bootloader and application tell each other.
    pub boot: BootRecord<N>,
    /// The download task.
    pub downloads: &'a Downloads,
    /// Buffers of the connection.
    pub buffers: &'a mut Buffers,
    /// Resets the chip.
    pub reset: fn() -> !,
}

/// What the bootloader says about this start, in the agent's words.
pub fn boot_of(status: Status) -> Boot {
    match status {
        Status::Confirmed => Boot::Confirmed,
        Status::Trial(_) => Boot::Trial,
        Status::RolledBack { cause, .. } => Boot::RolledBack { cause: cause.code() },
        Status::Refused { cause } => Boot::Refused { cause: cause.code() },
    }
}

/// The cloud task's state beside a connection's.
struct Device<'a, F: NorFlash, N: NorFlash> {
    agent: Agent<'a>,
    storage: &'a Storage<F>,
    boot: BootRecord<N>,
    downloads: &'a Downloads,
    is_downloading: bool,
}

/// What the agent wants of a connection.
enum Request<'b> {
    /// Nothing, until something happens.
    None,
    /// Publish this patch of the reported properties.
    Report(&'b str),
    /// Read the twin.
    ReadTwin,
    /// Close down: the chip is to be reset.
    Reset,
}

impl<F: NorFlash, N: NorFlash> Device<'_, F, N> {
    /// Carries out what the agent asks for, up to what needs the connection.
    fn poll<'b>(&mut self, report: &'b mut [u8; REPORT_LEN]) -> Request<'b> {
        // A loop that returned the report's borrow on one path only would keep it on the others, too; so the local
        // actions come first, with a borrow of their own.
        loop {
            match self.agent.poll(now_ms(), report) {
                Action::None => return Request::None,
                Action::ReadTwin => return Request::ReadTwin,
                Action::Report(patch) => {
                    let len = patch.len();
                    // Written just now, by the agent, as text.
                    return core::str::from_utf8(&report[..len]).map_or(Request::None, Request::Report);
                }
                Action::Persist => self.persist(),
                Action::Download => self.start_download(),
                Action::CancelDownload => self.cancel_download(),
                Action::Install => {
                    if self.install() {
                        return Request::Reset;
                    }
                }
                Action::Confirm => self.confirm(),
            }
        }
    }

    fn persist(&mut self) {
        if let Err(error) = self.storage.set_agent_state(self.agent.state()) {
            warn!("storage: agent state not stored: {}", error.as_str());
            return;
        }
        self.acknowledge_outcome();
    }

    /// Lets the bootloader forget the last update's outcome, once the agent remembers it.
    fn acknowledge_outcome(&mut self) {
        let is_outcome = matches!(self.boot.status(), Status::RolledBack { .. } | Status::Refused { .. });
        if is_outcome && self.agent.state().phase() != Phase::Installing && self.boot.acknowledge().is_err() {
            warn!("boot: outcome not acknowledged: internal flash failed");
        }
    }

    fn start_download(&mut self) {
        let Some(download) = self.agent.download() else { return };
        let Ok(url) = String::try_from(download.url) else {
            return self.agent.download_finished(Err(DownloadError::Refused));
        };
        info!("update: {} accepted", download.version);
        let job = Job { url, size: download.size, sha256: *download.sha256, resume: download.resume };
        self.downloads.start(job);
        self.is_downloading = true;
    }

    fn cancel_download(&mut self) {
        info!("update: cancelled");
        if self.is_downloading {
            self.downloads.cancel();
        } else {
            if let Err(error) = self.storage.remove_download() {
                warn!("storage: download not removed: {}", error.as_str());
            }
            self.agent.download_finished(Err(DownloadError::Cancelled));
        }
    }

    fn download_finished(&mut self, outcome: Result<(), DownloadError>) {
        self.is_downloading = false;
        if let Err(error) = outcome {
            warn!("update: download failed: {}", download_error(error));
        }
        self.agent.download_finished(outcome);
    }

    fn install(&mut self) -> bool {
        match self.storage.hand_over() {
            Ok(()) => true,
            Err(error) => {
                warn!("update: not handed over: {}", error.as_str());
                self.agent.install_failed();
                false
            }
        }
    }

    fn confirm(&mut self) {
        let is_confirmed = self.boot.confirm().is_ok();
        if is_confirmed {
            trial_over();
            info!("boot: {} confirmed", VERSION);
        } else {
            warn!("boot: {} not confirmed: internal flash failed", VERSION);
        }
        self.agent.confirm_finished(is_confirmed);
    }
}

fn download_error(error: DownloadError) -> &'static str {
    match error {
        DownloadError::Cancelled => "cancelled",
        DownloadError::Network => "network",
        DownloadError::Refused => "refused by the server",
        DownloadError::Size => "wrong length",
        DownloadError::Hash => "wrong SHA-256",
        DownloadError::Storage => "external flash",
    }
}

/// Keeps the device connected, for ever.
///
/// # Errors
/// [`ConfigError`] if the settings hold texts that cannot be reported.
pub async fn run<F: NorFlash, N: NorFlash>(parts: Parts<'_, F, N>) -> Result<core::convert::Infallible, ConfigError> {
    let Parts { settings, tls, port, storage, boot, downloads, buffers, reset } = parts;
    let config = adu_agent::Config {
        manufacturer: settings.manufacturer,
        model: settings.model,
        properties: &[],
        agent_version: AGENT_VERSION,
        running_version: VERSION,
        root_keys: &settings.root_keys,
        max_file_len: crate::storage::MAX_IMAGE_LEN,
    };
    let agent = Agent::new(config, storage.agent_state(), boot_of(boot.status()))?;
    let mut device = Device { agent, storage, boot, downloads, is_downloading: false };

    while let Either::Second(()) = select(wall_clock::wait(), Timer::after(LIFE_PERIOD)).await {
        sign_of_life();
    }

    let mut assignment = match settings.route {
        Route::Hub { host, device_id } => Assignment::new(host, device_id),
        Route::Dps { .. } => None,
    };
    let mut pause_ms = FIRST_PAUSE_MS;
    loop {
        sign_of_life();
        let result = match &assignment {
            None => match provision::register(settings, &tls, port, buffers).await {
                Ok(assigned) => {
                    info!("dps: assigned {} as {}", assigned.host.as_str(), assigned.device_id.as_str());
                    assignment = Some(assigned);
                    pause_ms = FIRST_PAUSE_MS;
                    continue;
                }
                Err(error) => {
                    warn!("dps: {} ({})", error.as_str(), error.code());
                    Err(error)
                }
            },
            Some(hub) => {
                let mut was_ready = false;
                let ended = hub::session(settings, hub, &tls, port, buffers, &mut device, &mut was_ready).await;
                device.agent.disconnected();
                if was_ready {
                    pause_ms = FIRST_PAUSE_MS;
                }
                ended
            }
        };
        match result {
            Ok(hub::End::Reset) => {
                info!("update: reset");
                Timer::after(LOG_GRACE).await;
                reset()
            }
            Ok(hub::End::Renew) => continue,
            Err(error) => {
                warn!("hub: {} ({})", error.as_str(), error.code());
                if error.may_be_the_clock() {
                    wall_clock::doubt();
                }
                if error.is_refusal() && matches!(settings.route, Route::Dps { .. }) {
                    // The device may have been moved to another hub.
                    assignment = None;
                }
            }
        }
        let spread = u64::from(entropy::number()) % (pause_ms / 2 + 1);
        if let Request::Reset = wait(&mut device, buffers, pause_ms / 2 + spread).await {
            reset()
        }
        pause_ms = (pause_ms * 2).min(LONGEST_PAUSE_MS);
    }
}

/// Waits before the next connection; a download goes on meanwhile, and its end is dealt with.
async fn wait<'b, F: NorFlash, N: NorFlash>(
    device: &mut Device<'_, F, N>,
    buffers: &'b mut Buffers,
    ms: u64,
) -> Request<'b> {
    let until = Instant::now() + Duration::from_millis(ms);
    loop {
        sign_of_life();
        if let Request::Reset = device.poll(&mut buffers.report) {
            return Request::Reset;
        }
        match select(device.downloads.outcome(), Timer::at(until)).await {
            Either::First(outcome) => device.download_finished(outcome),
            Either::Second(()) => return Request::None,
        }
    }
}

/// Closes a connection so that what was sent last arrives.
async fn say_goodbye(mut link: link::Link<'_>, last: &[u8]) {
    let _ = with_timeout(GOODBYE, async {
        let _ = link.send(last).await;
        link.close().await;
    })
    .await;
}

fn now_ms() -> u64 {
    Instant::now().as_millis()
}
