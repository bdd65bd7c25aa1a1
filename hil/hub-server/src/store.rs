//! All state in an embedded store.
//!
//! Everything that a call changed is written in one batch before a byte of its answer leaves, into the operating
//! system's hands at least: what was acknowledged outlives a `kill -9`. The disk itself is told once a second, and at
//! the end.

use std::path::{Path, PathBuf};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use hub::Change;

use crate::error::ServerError;

/// The epoch of the cloud, UTC seconds at its instant zero: instants are stored as they are, so it stays.
const EPOCH: &str = "epoch";

/// The store of one hub.
pub struct Store {
    database: Database,
    state: Keyspace,
    log: Keyspace,
    about: Keyspace,
    path: PathBuf,
    /// Number of the next line of the log.
    next_line: u64,
    kept_lines: u64,
}

impl Store {
    /// Opens the store in `directory`, or makes it.
    ///
    /// # Errors
    /// [`ServerError::Store`]: also if another process has it open.
    pub fn open(directory: &Path, kept_lines: usize) -> Result<Self, ServerError> {
        let path = directory.join("state");
        let failed = |error: fjall::Error| ServerError::Store {
            path: path.clone(),
            why: match error {
                fjall::Error::Locked => "another hub has it open".into(),
                other => other.to_string(),
            },
        };
        std::fs::create_dir_all(directory)
            .map_err(|error| ServerError::Store { path: directory.into(), why: error.to_string() })?;
        let database = Database::builder(&path).open().map_err(failed)?;
        let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default).map_err(failed);
        let (state, log, about) = (keyspace("state")?, keyspace("log")?, keyspace("about")?);
        let mut store = Self { database, state, log, about, path, next_line: 0, kept_lines: kept_lines as u64 };
        store.next_line = match store.log.last_key_value() {
            Some(entry) => {
                entry.key().map_err(|error| store.failed(&error))?.as_ref().try_into().map_or(0, u64::from_be_bytes) + 1
            }
            None => 0,
        };
        Ok(store)
    }

    fn failed(&self, error: &fjall::Error) -> ServerError {
        ServerError::Store { path: self.path.clone(), why: error.to_string() }
    }

    /// The epoch that the store was made with, `now` (UTC seconds) if it is new.
    ///
    /// # Errors
    /// [`ServerError::Store`].
    pub fn epoch(&self, now: u64) -> Result<u64, ServerError> {
        if let Some(bytes) = self.about.get(EPOCH).map_err(|error| self.failed(&error))?
            && let Ok(bytes) = bytes.as_ref().try_into()
        {
            return Ok(u64::from_be_bytes(bytes));
        }
        self.about.insert(EPOCH, now.to_be_bytes()).map_err(|error| self.failed(&error))?;
        self.sync()?;
        Ok(now)
    }

    /// All entries.
    ///
    /// # Errors
    /// [`ServerError::Store`].
    pub fn entries(&self) -> Result<Vec<Change>, ServerError> {
        let mut entries = Vec::new();
        for entry in self.state.iter() {
            let (key, value) = entry.into_inner().map_err(|error| self.failed(&error))?;
            let key = String::from_utf8_lossy(&key).into_owned();
            entries.push(Change { key, value: Some(value.to_vec()) });
        }
        Ok(entries)
    }

    /// Lines of the log, oldest first, with their numbers.
    ///
    /// # Errors
    /// [`ServerError::Store`].
    pub fn lines(&self) -> Result<Vec<(u64, Vec<u8>)>, ServerError> {
        let mut lines = Vec::new();
        for entry in self.log.iter() {
            let (key, value) = entry.into_inner().map_err(|error| self.failed(&error))?;
            lines.push((key.as_ref().try_into().map_or(0, u64::from_be_bytes), value.to_vec()));
        }
        Ok(lines)
    }

    /// Writes what a call has changed, all or nothing.
    ///
    /// # Errors
    /// [`ServerError::Store`], e.g. of a full disk: nothing is written then.
    pub fn write(&mut self, changes: Vec<Change>, lines: &[Vec<u8>]) -> Result<(), ServerError> {
        if changes.is_empty() && lines.is_empty() {
            return Ok(());
        }
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        for Change { key, value } in changes {
            match value {
                Some(value) => batch.insert(&self.state, key, value),
                None => batch.remove(&self.state, key),
            }
        }
        for line in lines {
            batch.insert(&self.log, self.next_line.to_be_bytes(), line.as_slice());
            if let Some(old) = self.next_line.checked_sub(self.kept_lines) {
                batch.remove(&self.log, old.to_be_bytes());
            }
            self.next_line += 1;
        }
        batch.commit().map_err(|error| self.failed(&error))
    }

    /// A handle that brings everything to the disk, off the hub's lock.
    pub fn syncer(&self) -> Database {
        self.database.clone()
    }

    /// Brings everything to the disk.
    ///
    /// # Errors
    /// [`ServerError::Store`].
    pub fn sync(&self) -> Result<(), ServerError> {
        self.database.persist(PersistMode::SyncAll).map_err(|error| self.failed(&error))
    }
}
