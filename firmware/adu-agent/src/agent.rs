//! The workflow: from desired properties to actions, from their outcomes to reports.

mod workflow;

use twin_json::Str;

use crate::code::Code;
use crate::crypto::{Crypto, RootKey};
use crate::report::{self, Ack, REPORT_LEN};
use crate::service::URL_LEN;
use crate::state::{Phase, State};
use crate::text::Text;

/// A report that is not answered within this time is sent again.
const REPORT_TIMEOUT_MS: u64 = 60_000;
/// Pause after a report that the hub was too busy for.
const REPORT_RETRY_MS: u64 = 10_000;

/// What the device is.
#[derive(Clone, Copy, Debug)]
pub struct Config<'a> {
    /// Manufacturer that updates are matched against; case matters.
    pub manufacturer: &'a str,
    /// Model that updates are matched against; case matters.
    pub model: &'a str,
    /// At most three further properties that updates can be matched against: names and values.
    pub properties: &'a [(&'a str, &'a str)],
    /// `aduVer`: which agent this is, for example `same54;agent/0.1.0`.
    pub agent_version: &'a str,
    /// The version that is running, compared with `installedCriteria`.
    pub running_version: &'a str,
    /// Trusted root keys; empty means [`PRODUCTION_ROOTS`](crate::PRODUCTION_ROOTS).
    pub root_keys: &'a [RootKey<'a>],
    /// Longest file that the device can take, in bytes.
    pub max_file_len: u32,
}

impl<'a> Config<'a> {
    /// Names and values that updates are matched against.
    pub(crate) fn compatibility(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        (0..2 + self.properties.len()).map_while(|index| self.compatibility_at(index))
    }

    #[inline(never)]
    fn compatibility_at(&self, index: usize) -> Option<(&'a str, &'a str)> {
        match index {
            0 => Some(("manufacturer", self.manufacturer)),
            1 => Some(("model", self.model)),
            _ => self.properties.get(index - 2).copied(),
        }
    }

    /// The value of the property that manifests call `name`, if the device has it.
    pub(crate) fn property(&self, name: Str<'_>) -> Option<&'a str> {
        // Import manifests in the field write the two usual ones in three ways.
        let name = match name.raw() {
            "deviceManufacturer" | "DeviceManufacturer" => "manufacturer",
            "deviceModel" | "DeviceModel" => "model",
            name => name,
        };
        self.compatibility().find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    fn is_sound(&self) -> bool {
        let is_plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
        let fits = |text: &str| (1..=64).contains(&text.len()) && text.bytes().all(is_plain);
        self.properties.len() <= 3
            && self.compatibility().all(|(name, value)| fits(name) && fits(value))
            && fits(self.agent_version)
            && fits(self.running_version)
    }
}

/// What the bootloader says about this start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boot {
    /// The running image is confirmed; nothing happened.
    Confirmed,
    /// The running image was just installed and must confirm itself.
    Trial,
    /// The image before this start did not confirm itself; the previous one was restored.
    RolledBack {
        /// The bootloader's number for the cause.
        cause: u8,
    },
    /// The bootloader refused to install `image.bin`.
    Refused {
        /// The bootloader's number for the cause.
        cause: u8,
    },
}

/// What the application has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'b> {
    /// Nothing, until something happens.
    None,
    /// Publish this patch of the reported properties and pass the hub's answer to [`Agent::report_answered`].
    Report(&'b str),
    /// Read the twin and pass it to [`Agent::twin`].
    ReadTwin,
    /// Store [`Agent::state`], so that it survives a power cut from here on.
    Persist,
    /// Start the download that [`Agent::download`] describes; then call [`Agent::download_finished`].
    Download,
    /// Stop the download, if it is running, and remove what was downloaded; then call
    /// [`Agent::download_finished`] with [`DownloadError::Cancelled`].
    CancelDownload,
    /// Hand the downloaded file to the bootloader and reset; call [`Agent::install_failed`] if that is impossible.
    Install,
    /// Confirm the running image to the bootloader; then call [`Agent::confirm_finished`].
    Confirm,
}

/// A file to download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Download<'a> {
    /// `http://host[:port]/path`, see [`Url::parse`](crate::download::Url::parse).
    pub url: &'a str,
    /// Length in bytes.
    pub size: u32,
    /// SHA-256 of the whole.
    pub sha256: &'a [u8; 32],
    /// Whether an earlier start began to download this very file: what was stored then is a prefix of it.
    /// Otherwise anything stored is to be removed first.
    pub resume: bool,
    /// The deployment's id.
    pub workflow_id: &'a str,
    /// The update's version.
    pub version: &'a str,
}

/// Why a download ended without a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownloadError {
    /// [`Action::CancelDownload`] was carried out.
    Cancelled,
    /// The server could not be reached or did not answer properly, after all retries.
    Network,
    /// The server refuses the file (4xx).
    Refused,
    /// The file's length is not the announced one.
    Size,
    /// What was stored has another SHA-256.
    Hash,
    /// External flash failed or is full.
    Storage,
}

/// The document could not be used; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentError {
    /// Not UTF-8, not JSON, or nested too deeply.
    Malformed,
    /// No `$version`.
    NoVersion,
}

/// The configuration has more than five properties, an empty text, one longer than 64 bytes, or one with control
/// characters, quotes or backslashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError;

/// What a running download is to end in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transfer {
    /// Not running.
    None,
    /// Running, or about to be started.
    Running,
    /// To be stopped because the service cancelled the deployment.
    Cancelling,
    /// To be stopped because another deployment, or a retry, is waiting in the twin.
    Replacing,
}

/// A report on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sent {
    is_startup: bool,
    has_state: bool,
    has_ack: bool,
    at_ms: u64,
}

/// The agent: feed it documents and outcomes, and carry out the actions of [`poll`](Self::poll).
#[derive(Debug)]
pub struct Agent<'a> {
    config: Config<'a>,
    state: State,
    boot: Boot,
    url: Text<URL_LEN>,
    transfer: Transfer,
    resume: bool,

    is_connected: bool,
    /// Desired `$version` that was processed last in this session.
    seen_version: Option<i64>,
    /// The whole twin has been processed at least once in this session: only then is the state worth reporting.
    is_synchronised: bool,
    is_startup_reported: bool,
    sent: Option<Sent>,
    report_not_before_ms: u64,

    startup_due: bool,
    twin_due: bool,
    persist_due: bool,
    cancel_due: bool,
    download_due: bool,
    install_due: bool,
    confirm_asked: bool,
    state_due: bool,
    ack_due: bool,
    ack: Ack,
}

impl<'a> Agent<'a> {
    /// The agent of a device that has just started.
    ///
    /// `state` is what was stored last ([`State::default`] if there is nothing), `boot` what the bootloader says.
    ///
    /// # Errors
    /// [`ConfigError`] if `config` could not be reported.
    pub fn new(config: Config<'a>, state: State, boot: Boot) -> Result<Self, ConfigError> {
        if !config.is_sound() {
            return Err(ConfigError);
        }
        let mut agent = Self {
            config,
            state,
            boot,
            url: Text::EMPTY,
            transfer: Transfer::None,
            resume: false,
            is_connected: false,
            seen_version: None,
            is_synchronised: false,
            is_startup_reported: false,
            sent: None,
            report_not_before_ms: 0,
            startup_due: false,
            twin_due: false,
            persist_due: false,
            cancel_due: false,
            download_due: false,
            install_due: false,
            confirm_asked: false,
            state_due: false,
            ack_due: false,
            ack: Ack::default(),
        };
        if agent.state.installed_version.as_str() != config.running_version {
            agent.state.installed = Default::default();
        }
        if agent.state.phase == Phase::Installing {
            agent.judge_boot();
        }
        Ok(agent)
    }

    /// What to store on [`Action::Persist`].
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The download that is wanted, between [`Action::Download`] and [`download_finished`](Self::download_finished).
    pub fn download(&self) -> Option<Download<'_>> {
        (self.transfer != Transfer::None).then(|| Download {
            url: self.url.as_str(),
            size: self.state.target.size,
            sha256: &self.state.target.sha256,
            resume: self.resume,
            workflow_id: self.state.workflow.id.as_str(),
            version: self.state.target.update_id.version.as_str(),
        })
    }

    /// A session with the hub has been opened and its topics are subscribed.
    pub fn connected(&mut self) {
        self.disconnected();
        self.is_connected = true;
        self.is_startup_reported = false;
        self.startup_due = true;
        self.twin_due = true;
    }

    /// The session is over. Reports that were not answered are made again in the next one.
    pub fn disconnected(&mut self) {
        self.is_connected = false;
        self.is_synchronised = false;
        self.seen_version = None;
        if let Some(sent) = self.sent.take() {
            self.unsend(sent);
        }
        // The `$version` may be another one in the next session.
        self.ack_due = false;
        self.report_not_before_ms = 0;
    }

    /// The twin could not be read (429 or 5xx): ask for it again. The caller waits before it calls this.
    pub fn twin_failed(&mut self) {
        self.twin_due = true;
    }

    /// The whole twin: the body of the answer to a twin GET. The text is decoded in place and unusable afterwards.
    ///
    /// # Errors
    /// [`DocumentError`] if it is no twin; what is wrong with a deployment inside is reported to the service.
    pub fn twin<C: Crypto>(&mut self, crypto: &C, document: &mut [u8]) -> Result<(), DocumentError> {
        self.document(crypto, document, true)
    }

    /// A change of the desired properties: the body of a PATCH notification. Decoded in place like the twin.
    ///
    /// # Errors
    /// As [`twin`](Self::twin).
    pub fn desired_patch<C: Crypto>(&mut self, crypto: &C, document: &mut [u8]) -> Result<(), DocumentError> {
        self.document(crypto, document, false)
    }

    /// The hub's answer to the last [`Action::Report`]: its status.
    pub fn report_answered(&mut self, status: u16, now_ms: u64) {
        let Some(sent) = self.sent.take() else {
            return;
        };
        match status {
            429 | 500.. => {
                self.unsend(sent);
                self.report_not_before_ms = now_ms.saturating_add(REPORT_RETRY_MS);
            }
            // Another 4xx would be answered the same way each time.
            _ => self.is_startup_reported |= sent.is_startup,
        }
    }

    /// The download has ended; on success, what was read back from flash has the right SHA-256.
    pub fn download_finished(&mut self, outcome: Result<(), DownloadError>) {
        let transfer = core::mem::replace(&mut self.transfer, Transfer::None);
        self.cancel_due = false;
        self.download_due = false;
        let code = match (transfer, outcome) {
            (Transfer::None, _) => return,
            (Transfer::Cancelling, _) => {
                self.state_due = true;
                return;
            }
            (Transfer::Replacing, _) => {
                self.state.forget_workflow();
                self.persist_due = true;
                self.twin_due = true;
                return;
            }
            (Transfer::Running, Ok(())) => {
                self.state.phase = Phase::Installing;
                self.state.attempts = self.state.attempts.saturating_add(1);
                self.persist_due = true;
                self.install_due = true;
                return;
            }
            (Transfer::Running, Err(error)) => match error {
                DownloadError::Cancelled | DownloadError::Network => Code::DownloadNetwork,
                DownloadError::Refused => Code::DownloadRefused,
                DownloadError::Size => Code::DownloadSize,
                DownloadError::Hash => Code::DownloadHash,
                DownloadError::Storage => Code::DownloadStorage,
            },
        };
        self.fail(code);
    }

    /// The downloaded file could not be handed to the bootloader.
    pub fn install_failed(&mut self) {
        if self.state.phase == Phase::Installing {
            self.install_due = false;
            self.fail(Code::InstallStorage);
        }
    }

    /// [`Action::Confirm`] has been carried out, or could not be.
    pub fn confirm_finished(&mut self, is_confirmed: bool) {
        if self.boot != Boot::Trial {
            return;
        }
        self.boot = Boot::Confirmed;
        if self.state.phase == Phase::Installing {
            match (is_confirmed, self.is_installed()) {
                (true, true) => self.succeed(),
                (true, false) => self.fail(Code::OtherVersion),
                (false, _) => self.fail(Code::ConfirmFailed),
            }
            // Another deployment may have arrived meanwhile.
            self.twin_due = true;
        }
        self.state_due = true;
    }

    /// The next thing to do. Call it again until it is [`Action::None`], and after each event.
    ///
    /// `now_ms` is any clock that does not go back; it serves to repeat reports.
    pub fn poll<'b>(&mut self, now_ms: u64, out: &'b mut [u8; REPORT_LEN]) -> Action<'b> {
        if let Some(sent) = self.sent
            && now_ms.saturating_sub(sent.at_ms) >= REPORT_TIMEOUT_MS
        {
            self.sent = None;
            self.unsend(sent);
        }
        if take(&mut self.cancel_due) {
            return Action::CancelDownload;
        }
        if take(&mut self.persist_due) {
            return Action::Persist;
        }
        if self.is_connected {
            if let Some(report) = self.report(now_ms, out) {
                return Action::Report(report);
            }
            if take(&mut self.twin_due) {
                return Action::ReadTwin;
            }
            // Connected, understood and heard: the proof that the new image works.
            if self.boot == Boot::Trial && self.is_synchronised && self.is_startup_reported && !self.confirm_asked {
                self.confirm_asked = true;
                return Action::Confirm;
            }
        }
        if self.boot != Boot::Trial {
            if take(&mut self.download_due) {
                return Action::Download;
            }
            if take(&mut self.install_due) {
                return Action::Install;
            }
        }
        Action::None
    }

    /// Writes the report that is due, if one is and none is on its way: the order of reports is their meaning.
    fn report<'b>(&mut self, now_ms: u64, out: &'b mut [u8; REPORT_LEN]) -> Option<&'b str> {
        if self.sent.is_some() || now_ms < self.report_not_before_ms {
            return None;
        }
        if take(&mut self.startup_due) {
            self.sent = Some(Sent { is_startup: true, has_state: false, has_ack: false, at_ms: now_ms });
            return report::startup(&self.config, out);
        }
        let is_settled = matches!(self.transfer, Transfer::None | Transfer::Running);
        let has_state = self.state_due && self.is_synchronised && self.boot != Boot::Trial && is_settled;
        let has_ack = take(&mut self.ack_due);
        if !has_state && !has_ack {
            return None;
        }
        if has_state {
            self.state_due = false;
        }
        self.sent = Some(Sent { is_startup: false, has_state, has_ack, at_ms: now_ms });
        report::progress(has_state.then_some(&self.state), has_ack.then_some(&self.ack), out)
    }

    /// Makes a report due again that did not arrive.
    fn unsend(&mut self, sent: Sent) {
        self.startup_due |= sent.is_startup;
        self.state_due |= sent.has_state;
        self.ack_due |= sent.has_ack;
    }
}

/// Whether `flag` was set; clears it.
fn take(flag: &mut bool) -> bool {
    core::mem::take(flag)
}
