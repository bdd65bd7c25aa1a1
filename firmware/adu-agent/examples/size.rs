//! What the agent costs on a Cortex-M4: a program of nothing but calls of its whole interface, without cryptography.
//!
//! ```text
//! cargo rustc -p adu-agent --example size --profile firmware --target thumbv7em-none-eabihf \
//!     -- -C link-arg=--no-gc-sections
//! llvm-size -A target/thumbv7em-none-eabihf/firmware/examples/size
//! ```
//!
//! `.text` and `.rodata` are the flash. They include the calls themselves, the two root keys (768 bytes), and what
//! other code of a firmware needs too: `memcpy`, UTF-8 checks, base64, slices. On the host it prints the RAM.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod device {
    use core::hint::black_box;
    use core::panic::PanicInfo;

    use adu_agent::download::{Connection, Retry, Url};
    use adu_agent::{Action, Agent, Boot, Config, Crypto, DownloadError, REPORT_LEN, State};

    /// Stands for cryptography that the firmware has anyway.
    struct Elsewhere {
        sha256: fn(&[u8]) -> [u8; 32],
        verify: fn(&[u8], u32, &[u8; 32], &[u8]) -> bool,
    }

    impl Crypto for Elsewhere {
        fn sha256(&self, data: &[u8]) -> [u8; 32] {
            (self.sha256)(data)
        }

        fn rs256_verify(&self, n: &[u8], e: u32, digest: &[u8; 32], signature: &[u8]) -> bool {
            (self.verify)(n, e, digest, signature)
        }
    }

    fn hash(_: &[u8]) -> [u8; 32] {
        black_box([0; 32])
    }

    fn verify(_: &[u8], _: u32, _: &[u8; 32], _: &[u8]) -> bool {
        black_box(true)
    }

    /// Keeps [`all`] in the program.
    #[used]
    static PROBE: fn(&mut [u8]) = all;

    fn all(document: &mut [u8]) {
        let crypto = black_box(Elsewhere { sha256: hash, verify });
        let config = black_box(Config {
            manufacturer: "ACME",
            model: "E54",
            properties: &[],
            agent_version: "size",
            running_version: "1.0.0",
            root_keys: &[],
            max_file_len: 900_000,
        });
        let state = State::from_bytes(document).unwrap_or_default();
        let Ok(mut agent) = Agent::new(config, state, black_box(Boot::Trial)) else { return };
        agent.connected();
        black_box(agent.twin(&crypto, document)).ok();
        black_box(agent.desired_patch(&crypto, document)).ok();
        let mut out = [0; REPORT_LEN];
        loop {
            match agent.poll(black_box(0), &mut out) {
                Action::None => break,
                Action::Report(report) => {
                    black_box(report);
                    agent.report_answered(black_box(204), 1);
                }
                Action::ReadTwin => agent.twin_failed(),
                Action::Persist => {
                    black_box(agent.state().to_bytes());
                }
                Action::Download => {
                    black_box(download(&agent, document));
                    agent.download_finished(black_box(Ok(())));
                }
                Action::CancelDownload => agent.download_finished(Err(DownloadError::Cancelled)),
                Action::Install => agent.install_failed(),
                Action::Confirm => agent.confirm_finished(black_box(true)),
            }
        }
        agent.disconnected();
    }

    fn download(agent: &Agent<'_>, buffer: &mut [u8]) -> Option<u32> {
        let download = agent.download()?;
        let url = Url::parse(download.url)?;
        let mut connection = Connection::new(download.size);
        let mut retry = Retry::new();
        let len = connection.request(&url, black_box(0), 4096, buffer).ok()?;
        match connection.receive(buffer.get(..len)?) {
            Ok(chunk) => {
                black_box(chunk);
                retry.progressed();
                None
            }
            Err(error) => retry.failed(Some(error), 7),
        }
    }

    #[panic_handler]
    fn panic(_: &PanicInfo<'_>) -> ! {
        loop {}
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    println!("Agent       {:>5} bytes", size_of::<adu_agent::Agent<'_>>());
    println!("State       {:>5} bytes, stored {}", size_of::<adu_agent::State>(), adu_agent::State::LEN);
    println!("Connection  {:>5} bytes", size_of::<adu_agent::download::Connection>());
    println!("report      {:>5} bytes, of the caller", adu_agent::REPORT_LEN);
}
