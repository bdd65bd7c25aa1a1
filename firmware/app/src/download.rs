//! The download: HTTP ranges, each as long as what the next flash block takes, written before the next is asked for.
//!
//! Resumes from what is stored, after a broken connection as after a reset. Ends with SHA-256 over what is read back
//! from flash, so a wrong bit from the network, the bus or the flash is found here.

use core::ops::Range;

use adu_agent::download::{Connection as Http, Error as HttpError, REQUEST_LEN, Retry, Url};
use adu_agent::{DownloadError, URL_LEN};
use embassy_futures::select::{Either, select};
use embassy_futures::yield_now;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Timer, with_timeout};
use embedded_io_async::{Read, Write};
use embedded_storage::nor_flash::NorFlash;
use heapless::String;
use sha2::{Digest, Sha256};
use update_store::{BLOCK_SIZE, StoreError, block_index, next_block_len};

use crate::log::{info, warn};
use crate::net::{Connection, Port};
use crate::storage::Storage;
use crate::{entropy, heartbeat};

/// A server that sends nothing for this long is given up.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes that are taken from the network at a time.
const INPUT: usize = 1024;

/// What to download.
pub struct Job {
    /// `http://host[:port]/path`.
    pub url: String<URL_LEN>,
    /// Length in bytes.
    pub size: u32,
    /// SHA-256 of the whole.
    pub sha256: [u8; 32],
    /// What is stored is a prefix of this very file; otherwise it is removed first.
    pub resume: bool,
}

/// The fence between the cloud task, which wants a file, and the download task.
pub struct Downloads {
    job: Signal<CriticalSectionRawMutex, Job>,
    cancel: Signal<CriticalSectionRawMutex, ()>,
    outcome: Signal<CriticalSectionRawMutex, Result<(), DownloadError>>,
}

impl Default for Downloads {
    fn default() -> Self {
        Self::new()
    }
}

impl Downloads {
    /// Nothing to do yet.
    pub const fn new() -> Self {
        Self { job: Signal::new(), cancel: Signal::new(), outcome: Signal::new() }
    }

    /// Starts a download; the one before must have had its outcome.
    pub fn start(&self, job: Job) {
        self.cancel.reset();
        self.outcome.reset();
        self.job.signal(job);
    }

    /// Stops the running download and removes what is stored; its outcome follows.
    pub fn cancel(&self) {
        self.cancel.signal(());
    }

    /// Waits for the running download's outcome.
    pub async fn outcome(&self) -> Result<(), DownloadError> {
        self.outcome.wait().await
    }

    /// Carries out jobs for ever. `gateway` (`host[:port]`) replaces the host that connections go to.
    pub async fn run<F: NorFlash>(&self, storage: &Storage<F>, port: &'static Port, gateway: Option<&str>) -> ! {
        loop {
            let job = self.job.wait().await;
            let outcome = match select(self.cancel.wait(), fetch(&job, storage, port, gateway)).await {
                Either::First(()) => match storage.remove_download() {
                    Ok(()) => Err(DownloadError::Cancelled),
                    Err(error) => Err(storage_failed(error)),
                },
                Either::Second(outcome) => outcome,
            };
            heartbeat::set_progress(0, 0);
            self.outcome.signal(outcome);
        }
    }
}

/// Why one connection ended before the file was complete.
enum Fault {
    /// The connection failed; HTTP's reason if there is one.
    Network(Option<HttpError>),
    Storage(StoreError),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Storage(error)
    }
}

impl From<HttpError> for Fault {
    fn from(error: HttpError) -> Self {
        Self::Network(Some(error))
    }
}

fn storage_failed(error: StoreError) -> DownloadError {
    warn!("update: storage: {}", error.as_str());
    DownloadError::Storage
}

async fn fetch<F: NorFlash>(
    job: &Job,
    storage: &Storage<F>,
    port: &'static Port,
    gateway: Option<&str>,
) -> Result<(), DownloadError> {
    let url = Url::parse(&job.url).ok_or(DownloadError::Refused)?;
    let (host, number) = gateway.and_then(Url::host_port).unwrap_or((url.host, url.port));
    if job.size == 0 {
        return Err(DownloadError::Size);
    }
    let mut offset = if job.resume { storage.downloaded().map_err(storage_failed)? } else { 0 };
    if !job.resume || offset > job.size {
        storage.remove_download().map_err(storage_failed)?;
        offset = 0;
    }
    info!("update: downloading {} bytes from byte {}", job.size, offset);
    let mut transfer = Transfer {
        storage,
        url,
        size: job.size,
        offset,
        retry: Retry::new(),
        block: [0; BLOCK_SIZE as usize],
        input: [0; INPUT],
    };
    while transfer.offset < job.size {
        let result = match port.connect(host, number).await {
            Ok(connection) => transfer.over(connection).await,
            Err(error) => {
                warn!("update: {}", error.as_str());
                Err(Fault::Network(None))
            }
        };
        match result {
            // Complete, or a server that closes after each answer.
            Ok(()) => {}
            Err(Fault::Storage(error)) => return Err(storage_failed(error)),
            Err(Fault::Network(error)) => {
                let Some(pause_ms) = transfer.retry.failed(error, entropy::number()) else {
                    return Err(match error {
                        Some(HttpError::Status(300..=499)) => DownloadError::Refused,
                        Some(HttpError::Range | HttpError::NoLength) => DownloadError::Size,
                        _ => DownloadError::Network,
                    });
                };
                warn!("update: interrupted at byte {}, again in {} ms", transfer.offset, pause_ms);
                Timer::after(Duration::from_millis(pause_ms.into())).await;
            }
        }
    }
    transfer.verify(&job.sha256).await
}

/// A download in progress.
struct Transfer<'a, F: NorFlash> {
    storage: &'a Storage<F>,
    url: Url<'a>,
    size: u32,
    /// Bytes that are stored.
    offset: u32,
    retry: Retry,
    /// What is collected for the next flash block.
    block: [u8; BLOCK_SIZE as usize],
    input: [u8; INPUT],
}

impl<F: NorFlash> Transfer<'_, F> {
    /// Downloads over one connection, until the file is complete or the connection can no longer be used.
    async fn over(&mut self, mut connection: Connection) -> Result<(), Fault> {
        let mut http = Http::new(self.size);
        let mut request = [0; REQUEST_LEN];
        // Bytes of `input` that have arrived and are not used up.
        let mut unread = 0..0;
        while self.offset < self.size && http.is_reusable() {
            let len = next_block_len(self.offset).min(self.size - self.offset);
            let count = http.request(&self.url, self.offset, len, &mut request)?;
            connection.write_all(&request[..count]).await.map_err(|_| Fault::Network(None))?;
            self.collect(&mut connection, &mut http, &mut unread).await?;
            self.storage.append(&self.block[..len as usize])?;
            self.offset += len;
            self.retry.progressed();
            heartbeat::set_progress(self.offset, self.size);
            info!("update: block {} of {}", block_index(self.offset - 1) + 1, block_index(self.size - 1) + 1);
            // The other tasks' turn, after the flash has kept them waiting.
            yield_now().await;
        }
        Ok(())
    }

    /// Collects one range in `block`.
    async fn collect(
        &mut self,
        connection: &mut Connection,
        http: &mut Http,
        unread: &mut Range<usize>,
    ) -> Result<(), Fault> {
        loop {
            if unread.start == unread.end {
                let count = match with_timeout(SILENCE_TIMEOUT, connection.read(&mut self.input)).await {
                    Ok(Ok(count)) if count > 0 => count,
                    _ => return Err(Fault::Network(None)),
                };
                *unread = 0..count;
            }
            let chunk = http.receive(&self.input[unread.clone()])?;
            let at = (chunk.offset - self.offset) as usize;
            let place = self.block.get_mut(at..at + chunk.data.len()).ok_or(HttpError::Range)?;
            place.copy_from_slice(chunk.data);
            unread.start += chunk.consumed;
            if chunk.is_done {
                return Ok(());
            }
        }
    }

    /// SHA-256 over what flash says now.
    async fn verify(&mut self, expected: &[u8; 32]) -> Result<(), DownloadError> {
        let mut hash = Sha256::new();
        let mut at = 0;
        while at < self.size {
            let len = next_block_len(at).min(self.size - at);
            let piece = &mut self.block[..len as usize];
            self.storage.read_download(at, piece).map_err(storage_failed)?;
            hash.update(&*piece);
            at += len;
            yield_now().await;
        }
        if hash.finalize()[..] == expected[..] {
            info!("update: {} bytes verified", self.size);
            return Ok(());
        }
        warn!("update: wrong SHA-256");
        // Nobody may resume from it.
        self.storage.remove_download().map_err(storage_failed)?;
        Err(DownloadError::Hash)
    }
}

#[cfg(test)]
mod tests;
