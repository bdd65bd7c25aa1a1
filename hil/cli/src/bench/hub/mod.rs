//! `hil bench hub`: the local IoT Hub beside a raw Mosquitto, with the same clients, on this machine, in one run.
//!
//! Both are processes of their own, with their standard settings; the clients share the machine's processors with them. So
//! the figures are of this machine, and what carries over is the ratio. Mosquitto only carries messages: it checks no
//! signature, knows no device and keeps nothing.

mod client;
mod peer;
mod report;

use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

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
    /// Devices that work at the same time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    at_once: u16,
    /// How often each is measured, on servers started anew; the median is shown
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// With TLS, without, or both
    #[arg(long, value_enum, default_value_t = Tls::Both)]
    tls: Tls,
    /// Print one JSON document on standard output
    #[arg(long)]
    pub json: bool,
}

/// Which connections are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Tls {
    /// With TLS
    Yes,
    /// Without TLS
    No,
    /// Without, then with
    Both,
}

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
        for tls in [false, true].into_iter().filter(|tls| args.tls != if *tls { Tls::No } else { Tls::Yes }) {
            // In turn, so that what else the machine does meets both.
            let (mut hub, mut mosquitto) = (Vec::new(), Vec::new());
            for round in 1..=args.rounds {
                eprintln!(
                    "{devices} devices, {}, round {round} of {}",
                    if tls { "TLS" } else { "no TLS" },
                    args.rounds
                );
                let row = runtime.block_on(measure(*devices, args, tls, false)).map_err(Error::HubBench)?;
                hub.push(row);
                match runtime.block_on(measure(*devices, args, tls, true)) {
                    Ok(row) => mosquitto.push(row),
                    Err(why) => eprintln!("Mosquitto is left out: {why}"),
                }
            }
            rows.extend([hub, mosquitto].into_iter().filter_map(Row::median));
        }
    }
    Ok(HubReport::new(rows))
}

async fn measure(devices: usize, args: &HubBenchArgs, tls: bool, mosquitto: bool) -> Result<Row, String> {
    let (messages, at_once) = (args.messages, usize::from(args.at_once));
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
        fleet = Some(Fleet::connect(&peer, devices, at_once).await?);
        time += begin.elapsed();
        let (server, client) = cpu.each(&peer.cpu()?, devices * rounds);
        connect_cpu = (connect_cpu.0 + server, connect_cpu.1 + client);
        after.get_or_insert(peer.resident()?);
    }
    let connects = (devices * rounds) as f64 / time.as_secs_f64();
    let (mut fleet, after) = fleet.zip(after).ok_or("nothing has connected")?;
    let (begin, cpu) = (Instant::now(), peer.cpu()?);
    let sent = fleet.work(Work::Publish, messages, at_once).await?;
    let publishes = sent as f64 / begin.elapsed().as_secs_f64();
    let message_cpu = cpu.each(&peer.cpu()?, sent);
    let twins = if mosquitto {
        None
    } else {
        let begin = Instant::now();
        let read = fleet.work(Work::ReadTwin, messages, at_once).await?;
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
        connect_rounds: vec![connects],
        message_rounds: vec![publishes],
    })
}
