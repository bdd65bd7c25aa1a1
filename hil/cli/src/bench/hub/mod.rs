//! `hil bench hub`: the local IoT Hub beside a raw Mosquitto, with the same clients, on this machine, in one run.
//!
//! Both are processes of their own, with their standard settings; the clients share the machine's processors with them. So
//! the figures are of this machine, and what carries over is the ratio. Mosquitto only carries messages: it checks no
//! signature, knows no device and keeps nothing.

mod client;
mod peer;
mod report;

use std::time::{Duration, Instant};

use clap::Args;

use crate::error::Error;
use client::{Fleet, Work};
use peer::Peer;
pub use report::HubReport;
use report::Row;

/// What `hil bench hub` understands.
#[derive(Debug, Args)]
pub struct HubBenchArgs {
    /// Numbers of devices
    #[arg(value_name = "DEVICES", default_values_t = [1_000, 10_000])]
    devices: Vec<usize>,
    /// Messages of each measurement
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    messages: usize,
    /// Print one JSON document on standard output
    #[arg(long)]
    pub json: bool,
}

/// Clients that work at the same time.
const AT_ONCE: usize = 64;

/// Fewer devices than this connect in rounds: a fraction of a second says little about a machine that does other things
/// besides.
const CONNECTS: usize = 10_000;

/// For the other side to see that the devices of one round are gone.
const BETWEEN_ROUNDS: Duration = Duration::from_millis(300);

/// Measures hub and Mosquitto.
pub fn hub(args: &HubBenchArgs) -> Result<HubReport, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::HubBench(format!("no threads can be started: {error}")))?;
    let mut rows = Vec::new();
    for devices in &args.devices {
        for tls in [false, true] {
            for mosquitto in [false, true] {
                eprintln!(
                    "{devices} devices, {}, {}",
                    if tls { "TLS" } else { "no TLS" },
                    if mosquitto { "Mosquitto" } else { "hub" }
                );
                match runtime.block_on(measure(*devices, args.messages, tls, mosquitto)) {
                    Ok(row) => rows.push(row),
                    Err(why) if mosquitto => eprintln!("Mosquitto is left out: {why}"),
                    Err(why) => return Err(Error::HubBench(why)),
                }
            }
        }
    }
    Ok(HubReport::new(rows))
}

async fn measure(devices: usize, messages: usize, tls: bool, mosquitto: bool) -> Result<Row, String> {
    let peer = if mosquitto { Peer::mosquitto(tls).await? } else { Peer::hub(tls).await? };
    let before = peer.resident()?;
    peer.register(devices).await?;
    let (mut fleet, mut time, mut connect_cpu, mut after) = (None, Duration::ZERO, (0.0, 0.0), None);
    let rounds = (CONNECTS / devices.max(1)).max(1);
    for _ in 0..rounds {
        if fleet.take().is_some() {
            tokio::time::sleep(BETWEEN_ROUNDS).await;
        }
        let (begin, cpu) = (Instant::now(), peer.cpu()?);
        fleet = Some(Fleet::connect(&peer, devices, AT_ONCE).await?);
        time += begin.elapsed();
        let (server, client) = cpu.each(&peer.cpu()?, devices * rounds);
        connect_cpu = (connect_cpu.0 + server, connect_cpu.1 + client);
        after.get_or_insert(peer.resident()?);
    }
    let connects = (devices * rounds) as f64 / time.as_secs_f64();
    let (mut fleet, after) = fleet.zip(after).ok_or("nothing has connected")?;
    let (begin, cpu) = (Instant::now(), peer.cpu()?);
    let sent = fleet.work(Work::Publish, messages, AT_ONCE).await?;
    let publishes = sent as f64 / begin.elapsed().as_secs_f64();
    let message_cpu = cpu.each(&peer.cpu()?, sent);
    let twins = if mosquitto {
        None
    } else {
        let begin = Instant::now();
        let read = fleet.work(Work::ReadTwin, messages, AT_ONCE).await?;
        Some(read as f64 / begin.elapsed().as_secs_f64())
    };
    Ok(Row {
        system: if mosquitto { "mosquitto" } else { "hub" },
        devices,
        tls,
        connects_per_second: connects,
        messages_per_second: publishes,
        twin_reads_per_second: twins,
        connect_cpu_micros: connect_cpu.0,
        message_cpu_micros: message_cpu.0,
        client_connect_cpu_micros: connect_cpu.1,
        client_message_cpu_micros: message_cpu.1,
        bytes_per_device: after.saturating_sub(before) / devices as u64,
    })
}
