//! What the agent remembers over a reset.

use crate::code::Code;
use crate::text::Text;

/// Longest workflow id that can be echoed; the service uses GUIDs of 36 characters.
pub const WORKFLOW_ID_LEN: usize = 48;
/// Longest retry timestamp; ISO 8601 with seven fractional digits has 28 characters.
pub const RETRY_LEN: usize = 40;
/// Longest part of an update id.
pub const UPDATE_ID_PART_LEN: usize = 64;
/// Longest explanation of a refusal.
pub(crate) const DETAILS_LEN: usize = 80;

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

impl Phase {
    fn from_u8(number: u8) -> Option<Self> {
        let all = [Self::Idle, Self::Downloading, Self::Installing, Self::Failed, Self::Succeeded];
        all.into_iter().find(|phase| *phase as u8 == number)
    }
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
    pub(crate) details: Text<DETAILS_LEN>,
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
        + text_len(DETAILS_LEN)
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

    /// Forgets the deployment. Which update is installed remains.
    pub(crate) fn forget_workflow(&mut self) {
        *self = Self { installed: self.installed, installed_version: self.installed_version, ..Self::default() };
    }

    /// The stored form: little endian, fixed length, with a checksum.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let mut out = &mut bytes[..];
        put(&mut out, &MAGIC);
        let action = self.workflow.action as u8;
        put(&mut out, &[self.phase as u8, self.attempts, u8::from(self.was_cancelled), action]);
        put(&mut out, &(self.code as i32).to_le_bytes());
        put(&mut out, &self.target.sha256);
        put(&mut out, &self.target.size.to_le_bytes());
        put(&mut out, &[self.target.steps]);
        let mut copy = *self;
        for (text, len) in copy.texts() {
            put(&mut out, &[*len as u8]); // capacities are below 256
            put(&mut out, text);
        }
        let sum = checksum(&bytes[..Self::LEN - 4]);
        bytes[Self::LEN - 4..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads the stored form. None if it is damaged or of another version: start with [`State::default`] then.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::LEN] = bytes.try_into().ok()?;
        let (fields, sum) = bytes.split_at(Self::LEN - 4);
        if checksum(fields).to_le_bytes() != sum {
            return None;
        }
        let mut rest = fields.strip_prefix(&MAGIC)?;
        let mut state = Self::default();
        let [phase, attempts, was_cancelled, action] = take::<4>(&mut rest)?;
        state.phase = Phase::from_u8(phase)?;
        state.attempts = attempts;
        state.was_cancelled = was_cancelled != 0;
        if action == WorkflowAction::Cancel as u8 {
            state.workflow.action = WorkflowAction::Cancel;
        }
        state.code = Code::from_i32(i32::from_le_bytes(take(&mut rest)?))?;
        state.target.sha256 = take(&mut rest)?;
        state.target.size = u32::from_le_bytes(take(&mut rest)?);
        state.target.steps = take::<1>(&mut rest)?[0];
        for (text, len) in state.texts() {
            let stored_len = take::<1>(&mut rest)?[0];
            let (stored, after) = rest.split_at_checked(text.len())?;
            rest = after;
            text.copy_from_slice(stored);
            core::str::from_utf8(stored.get(..usize::from(stored_len))?).ok()?;
            *len = stored_len.into();
        }
        Some(state)
    }

    /// All texts, in the order in which they are stored.
    #[inline(never)]
    fn texts(&mut self) -> [(&mut [u8], &mut u16); 11] {
        let Self { workflow, target, installed, .. } = self;
        [
            workflow.id.raw(),
            workflow.retry.raw(),
            target.update_id.provider.raw(),
            target.update_id.name.raw(),
            target.update_id.version.raw(),
            target.criteria.raw(),
            self.details.raw(),
            installed.provider.raw(),
            installed.name.raw(),
            installed.version.raw(),
            self.installed_version.raw(),
        ]
    }
}

/// Layout version 1.
const MAGIC: [u8; 4] = *b"ADS1";

/// A text is stored as its length and all of its capacity.
const fn text_len(capacity: usize) -> usize {
    1 + capacity
}

/// Writes to the start of `out` and moves it on. `State::LEN` is the sum of all fields, a round-trip test sees to it.
fn put(out: &mut &mut [u8], bytes: &[u8]) {
    if let Some((place, rest)) = core::mem::take(out).split_at_mut_checked(bytes.len()) {
        place.copy_from_slice(bytes);
        *out = rest;
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*bytes)
}

/// FNV-1a: finds a damaged file. The bootloader decides by signatures, never by this state.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811C_9DC5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
