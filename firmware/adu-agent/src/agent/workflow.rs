//! The rules by which documents and starts change the deployment.
//!
//! | the twin asks for | while | then |
//! |---|---|---|
//! | same id, same retry timestamp | downloading, installing | duplicate delivery: acknowledged, nothing restarts |
//! | same id, same retry timestamp | downloading before a reset | verified again, download resumes |
//! | same id, same retry timestamp | failed, succeeded | the outcome is reported again; failed stays failed |
//! | same id, new retry timestamp | failed, succeeded | from scratch |
//! | another id, or a retry | downloading | the download is cancelled first, then the twin is read again |
//! | another id | installing | the installation finishes, then the twin is read again |
//! | cancel | downloading | cancelled, idle, result -1 |
//! | cancel | installing | too late: ignored, the outcome is reported |
//! | cancel | failed, succeeded, idle | idle |

use twin_json::{Kind, Value};

use super::{Agent, Boot, DocumentError, Transfer};
use crate::code::Code;
use crate::crypto::Crypto;
use crate::report::Ack;
use crate::service::{self, Request};
use crate::state::{Phase, WorkflowAction};

/// How often the bootloader is asked to install one image before the deployment fails.
const MAX_INSTALL_ATTEMPTS: u8 = 3;

impl Agent<'_> {
    pub(super) fn document<C: Crypto>(
        &mut self,
        crypto: &C,
        document: &mut [u8],
        is_whole: bool,
    ) -> Result<(), DocumentError> {
        let text = core::str::from_utf8(document).map_err(|_| DocumentError::Malformed)?;
        let root = Value::parse(text).map_err(|_| DocumentError::Malformed)?;
        let desired = if is_whole { root.get("desired").ok_or(DocumentError::Malformed)? } else { root };
        let version = desired.get("$version").and_then(|version| version.as_i64());
        let version = version.ok_or(DocumentError::NoVersion)?;

        // The hub does not order the answer to a GET and the notifications of changes; `$version` does.
        let is_next = match self.seen_version {
            Some(seen) if is_whole => version >= seen,
            Some(seen) if version <= seen => false,
            Some(seen) if version == seen + 1 => true,
            // A change was missed, or comes before the twin that it changes.
            _ if !is_whole => {
                self.twin_due = true;
                false
            }
            _ => true,
        };
        if !is_next {
            return Ok(());
        }
        self.seen_version = Some(version);
        self.is_synchronised |= is_whole;

        let service = desired.at(&["deviceUpdate", "service"]);
        let Some(service) = service.filter(|service| service.kind() == Kind::Object) else {
            return Ok(());
        };
        let request = Request::parse(&service);
        let is_accepted = match request {
            Some(request) => match request.action {
                Some(3) => match self.deployment(crypto, document, is_whole, &request) {
                    Some(is_accepted) => is_accepted,
                    None => return Ok(()),
                },
                Some(255) => {
                    self.cancel(&request);
                    true
                }
                // Download, install and apply one by one: agents before 0.8.
                Some(0..=2) => false,
                _ => true,
            },
            None => false,
        };
        self.ack = Ack { version, is_accepted };
        self.ack_due = true;
        Ok(())
    }

    /// Returns whether the deployment is accepted; None if the twin has to be read first.
    fn deployment<C: Crypto>(
        &mut self,
        crypto: &C,
        document: &mut [u8],
        is_whole: bool,
        request: &Request,
    ) -> Option<bool> {
        let current = &self.state.workflow;
        let is_same = self.state.phase != Phase::Idle && current.id == request.id;
        let is_retry = is_same && !request.retry.is_empty() && current.retry != request.retry;
        let resume = is_same && !is_retry && self.state.phase == Phase::Downloading;

        let is_duplicate = is_same && !is_retry;
        if is_duplicate && !(resume && self.transfer == Transfer::None) {
            self.state_due = true;
            // A deployment that failed before there was a verified target was refused.
            return Some(self.state.phase != Phase::Failed || self.state.target.size > 0);
        }
        if self.transfer != Transfer::None {
            self.transfer = Transfer::Replacing;
            self.cancel_due = true;
            return Some(true);
        }
        if self.state.phase == Phase::Installing {
            return Some(true);
        }
        if !is_whole && !request.deployment.are_complete() {
            self.twin_due = true;
            return None;
        }

        let earlier = (self.state.target.sha256, self.state.target.size, self.state.attempts);
        self.state.forget_workflow();
        self.state.workflow.id = request.id;
        self.state.workflow.retry = request.retry;
        let places = &request.deployment;
        if let Err(code) = service::verify(crypto, document, places, &self.config, &mut self.state, &mut self.url) {
            self.fail(code);
            return Some(false);
        }
        if self.is_installed() {
            self.succeed();
            return Some(true);
        }
        let (sha256, size, attempts) = earlier;
        self.resume = resume && sha256 == self.state.target.sha256 && size == self.state.target.size;
        if self.resume {
            self.state.attempts = attempts;
        }
        self.state.phase = Phase::Downloading;
        self.transfer = Transfer::Running;
        self.download_due = true;
        self.persist_due = true;
        self.state_due = true;
        Some(true)
    }

    fn cancel(&mut self, request: &Request) {
        if self.state.phase == Phase::Installing {
            return;
        }
        self.state_due = true;
        let current = &self.state.workflow;
        if current.action == WorkflowAction::Cancel && current.id == request.id {
            return;
        }
        let was_downloading = self.state.phase == Phase::Downloading;
        self.state.forget_workflow();
        self.state.workflow.action = WorkflowAction::Cancel;
        self.state.workflow.id = request.id;
        self.persist_due = true;
        if was_downloading {
            self.state.was_cancelled = true;
            self.transfer = Transfer::Cancelling;
            self.download_due = false;
            self.cancel_due = true;
        }
    }

    /// Draws the conclusion of an installation from what the bootloader says about this start.
    pub(super) fn judge_boot(&mut self) {
        match self.boot {
            // Decided when the image has confirmed itself.
            Boot::Trial => {}
            Boot::Confirmed if self.is_installed() => self.succeed(),
            Boot::Confirmed if self.state.attempts < MAX_INSTALL_ATTEMPTS => {
                // The supply failed before the bootloader was asked: go on where the download ended.
                self.state.phase = Phase::Downloading;
                self.persist_due = true;
            }
            Boot::Confirmed => self.fail(Code::NotInstalled),
            Boot::RolledBack { cause } => self.fail_by_bootloader(Code::RolledBack, cause),
            Boot::Refused { cause } => self.fail_by_bootloader(Code::ImageRefused, cause),
        }
    }

    fn fail_by_bootloader(&mut self, code: Code, cause: u8) {
        self.fail(code);
        self.state.details.push_cut("bootloader cause 0x");
        let hex = |digit: u8| b"0123456789abcdef"[usize::from(digit & 15)];
        let digits = [hex(cause >> 4), hex(cause)];
        self.state.details.push_cut(core::str::from_utf8(&digits).unwrap_or_default());
    }

    #[inline(never)]
    pub(super) fn fail(&mut self, code: Code) {
        self.state.phase = Phase::Failed;
        self.state.code = code;
        self.persist_due = true;
        self.state_due = true;
    }

    #[inline(never)]
    pub(super) fn succeed(&mut self) {
        self.state.phase = Phase::Succeeded;
        self.state.code = Code::None;
        self.state.installed = self.state.target.update_id;
        self.state.installed_version.set(self.config.running_version);
        self.persist_due = true;
        self.state_due = true;
    }

    pub(super) fn is_installed(&self) -> bool {
        self.state.target.criteria.as_str() == self.config.running_version
    }
}
