//! What the agent remembers over a reset.

use crate::code::Code;
use crate::text::Text;

/// Longest workflow id that can be echoed; the service uses GUIDs of 36 characters.
pub const WORKFLOW_ID_LEN: usize = 48;
/// Longest retry timestamp; ISO 8601 with seven fractional digits has 28 characters.
pub const RETRY_LEN: usize = 40;
/// Longest part of an update id.
pub const UPDATE_ID_PART_LEN: usize = 64;

/// How far a deployment has come. The numbers are stored: never renumber.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// No deployment.
    #[default]
    Idle = 0,
    /// The deployment was accepted; the file is being downloaded.
    Downloading = 1,
    /// The file is complete; the bootloader has been or will be asked to install it.
    Installing = 2,
    /// The deployment failed. It stays failed until a retry, a cancellation or another deployment.
    Failed = 3,
    /// The deployment succeeded.
    Succeeded = 4,
}

/// The action of a workflow that is echoed in reports.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum WorkflowAction {
    #[default]
    Deploy = 3,
    Cancel = 255,
}

/// `workflow` of the desired properties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Workflow {
    pub(crate) action: WorkflowAction,
    pub(crate) id: Text<WORKFLOW_ID_LEN>,
    pub(crate) retry: Text<RETRY_LEN>,
}

/// The name of an update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpdateId {
    /// Who made it.
    pub provider: Text<UPDATE_ID_PART_LEN>,
    /// What it is for.
    pub name: Text<UPDATE_ID_PART_LEN>,
    /// Its version.
    pub version: Text<UPDATE_ID_PART_LEN>,
}

/// What a verified manifest asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) update_id: UpdateId,
    /// `installedCriteria`, or the update's version where there is none.
    pub(crate) criteria: Text<UPDATE_ID_PART_LEN>,
    pub(crate) sha256: [u8; 32],
    pub(crate) size: u32,
    pub(crate) steps: u8,
}

/// Persistent state: the application stores it as bytes whenever the agent asks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub(crate) phase: Phase,
    /// How often the bootloader was asked to install this target.
    pub(crate) attempts: u8,
    /// The last deployment ended by cancellation.
    pub(crate) was_cancelled: bool,
    pub(crate) workflow: Workflow,
    pub(crate) target: Target,
    pub(crate) code: Code,
    pub(crate) details: Text<80>,
    /// The update that was installed last through Device Update; empty if none was.
    pub(crate) installed: UpdateId,
    /// The version that ran when `installed` was set: another running version makes `installed` stale.
    pub(crate) installed_version: Text<UPDATE_ID_PART_LEN>,
}

impl State {
    /// Length of the stored form in bytes.
    pub const LEN: usize = MAGIC.len()
        + 4
        + 4
        + text_len(WORKFLOW_ID_LEN)
        + text_len(RETRY_LEN)
        + 2 * 3 * text_len(UPDATE_ID_PART_LEN)
        + text_len(UPDATE_ID_PART_LEN)
        + 32
        + 1
        + 4
        + text_len(80)
        + text_len(UPDATE_ID_PART_LEN)
        + 4;

    /// How far the deployment has come.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Id of the deployment; empty if there was none.
    pub fn workflow_id(&self) -> &str {
        self.workflow.id.as_str()
    }

    /// The update that the deployment is about; empty before its manifest has been verified.
    pub fn update_id(&self) -> &UpdateId {
        &self.target.update_id
    }

    /// SHA-256 of the file that the deployment is about.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.target.sha256
    }

    /// Size in bytes of the file that the deployment is about.
    pub fn size(&self) -> u32 {
        self.target.size
    }

    /// Why the deployment failed.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The stored form: little endian, fixed length, with a checksum.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut out = Put { bytes: [0; Self::LEN], at: 0 };
        out.put(&MAGIC);
        out.put(&[self.phase as u8, self.attempts, u8::from(self.was_cancelled), self.workflow.action as u8]);
        out.put(&(self.code as i32).to_le_bytes());
        out.text(&self.workflow.id);
        out.text(&self.workflow.retry);
        out.update_id(&self.target.update_id);
        out.text(&self.target.criteria);
        out.put(&self.target.sha256);
        out.put(&self.target.size.to_le_bytes());
        out.put(&[self.target.steps]);
        out.text(&self.details);
        out.update_id(&self.installed);
        out.text(&self.installed_version);
        let sum = checksum(&out.bytes[..Self::LEN - 4]);
        out.bytes[Self::LEN - 4..].copy_from_slice(&sum.to_le_bytes());
        out.bytes
    }

    /// Reads the stored form. None if it is damaged or of another version: start with [`State::default`] then.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::LEN] = bytes.try_into().ok()?;
        let (fields, sum) = bytes.split_at(Self::LEN - 4);
        if checksum(fields).to_le_bytes() != sum {
            return None;
        }
        let mut rest = Take(fields.strip_prefix(&MAGIC)?);
        let [phase, attempts, was_cancelled, action] = rest.take::<4>()?;
        let code = Code::from_i32(i32::from_le_bytes(rest.take()?))?;
        Some(Self {
            phase: match phase {
                0 => Phase::Idle,
                1 => Phase::Downloading,
                2 => Phase::Installing,
                3 => Phase::Failed,
                4 => Phase::Succeeded,
                _ => return None,
            },
            attempts,
            was_cancelled: was_cancelled != 0,
            code,
            workflow: Workflow {
                action: match action {
                    3 => WorkflowAction::Deploy,
                    255 => WorkflowAction::Cancel,
                    _ => return None,
                },
                id: rest.text()?,
                retry: rest.text()?,
            },
            target: Target {
                update_id: rest.update_id()?,
                criteria: rest.text()?,
                sha256: rest.take()?,
                size: u32::from_le_bytes(rest.take()?),
                steps: rest.take::<1>()?[0],
            },
            details: rest.text()?,
            installed: rest.update_id()?,
            installed_version: rest.text()?,
        })
    }
}

/// Layout version 1.
const MAGIC: [u8; 4] = *b"ADS1";

/// A text is stored as its length and all of its capacity.
const fn text_len(capacity: usize) -> usize {
    1 + capacity
}

struct Put {
    bytes: [u8; State::LEN],
    at: usize,
}

impl Put {
    fn put(&mut self, bytes: &[u8]) {
        // `State::LEN` is the sum of all fields; a round-trip test holds it to that.
        if let Some(place) = self.bytes.get_mut(self.at..self.at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        self.at += bytes.len();
    }

    fn text<const N: usize>(&mut self, text: &Text<N>) {
        let text = text.as_str().as_bytes();
        self.put(&[text.len() as u8]); // capacities are below 256
        self.put(text);
        self.at += N - text.len();
    }

    fn update_id(&mut self, id: &UpdateId) {
        self.text(&id.provider);
        self.text(&id.name);
        self.text(&id.version);
    }
}

struct Take<'a>(&'a [u8]);

impl Take<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn text<const N: usize>(&mut self) -> Option<Text<N>> {
        let len = usize::from(self.take::<1>()?[0]);
        let bytes = self.take::<N>()?;
        Text::new(core::str::from_utf8(bytes.get(..len)?).ok()?)
    }

    fn update_id(&mut self) -> Option<UpdateId> {
        Some(UpdateId { provider: self.text()?, name: self.text()?, version: self.text()? })
    }
}

/// FNV-1a: finds a damaged file. The bootloader decides by signatures, never by this state.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811C_9DC5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
