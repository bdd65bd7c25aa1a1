//! What was measured.

use std::fmt::Write as _;

use serde::Serialize;

/// The figures of one system at one size, of one round or the medians of several.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    /// `hub` or `mosquitto`.
    pub system: &'static str,
    pub devices: usize,
    pub tls: bool,
    /// New connections, CONNECT to CONNACK with the handshakes before.
    pub connects_per_second: f64,
    /// QoS 1 messages, PUBLISH to PUBACK.
    pub messages_per_second: f64,
    /// Requests for the twin, to its arrival; Mosquitto has none.
    pub twin_reads_per_second: Option<f64>,
    /// Processor time of the server for each connect, microseconds.
    pub connect_cpu_micros: f64,
    /// The same for each message.
    pub message_cpu_micros: f64,
    /// Processor time of the client for each connect, microseconds.
    pub client_connect_cpu_micros: f64,
    /// The same for each message.
    pub client_message_cpu_micros: f64,
    /// Growth of resident memory, from the start to all devices connected and idle; at the hub with their registration.
    pub bytes_per_device: u64,
    /// New connections each second, of each round.
    pub connect_rounds: Vec<f64>,
    /// Messages each second, of each round.
    pub message_rounds: Vec<f64>,
}

impl Row {
    /// The median of each figure; of an even number the greater of the two in the middle. None of no rounds.
    pub(super) fn median(rounds: Vec<Self>) -> Option<Self> {
        let of = |figure: fn(&Self) -> f64| {
            let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures.get(figures.len() / 2).copied()
        };
        let first = rounds.first()?;
        let twins = first.twin_reads_per_second.and_then(|_| of(|row| row.twin_reads_per_second.unwrap_or_default()));
        Some(Self {
            system: first.system,
            devices: first.devices,
            tls: first.tls,
            connects_per_second: of(|row| row.connects_per_second)?,
            messages_per_second: of(|row| row.messages_per_second)?,
            twin_reads_per_second: twins,
            connect_cpu_micros: of(|row| row.connect_cpu_micros)?,
            message_cpu_micros: of(|row| row.message_cpu_micros)?,
            client_connect_cpu_micros: of(|row| row.client_connect_cpu_micros)?,
            client_message_cpu_micros: of(|row| row.client_message_cpu_micros)?,
            bytes_per_device: of(|row| row.bytes_per_device as f64)? as u64,
            connect_rounds: rounds.iter().flat_map(|row| row.connect_rounds.iter().copied()).collect(),
            message_rounds: rounds.iter().flat_map(|row| row.message_rounds.iter().copied()).collect(),
        })
    }
}

/// All rows.
#[derive(Debug, Serialize)]
pub struct HubReport {
    schema: &'static str,
    rows: Vec<Row>,
}

impl HubReport {
    pub(super) fn new(rows: Vec<Row>) -> Self {
        Self { schema: "hil-bench-hub/1", rows }
    }

    /// One JSON document.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// A table for people, with ratios where both systems were measured.
    pub fn to_table(&self) -> String {
        let mut text = format!(
            "{:<9} {:>7} {:>4} {:>11} {:>11} {:>11} {:>10} {:>10} {:>10}\n",
            "", "devices", "TLS", "connects/s", "messages/s", "twins/s", "KiB/device", "us/connect", "us/message"
        );
        for row in &self.rows {
            let twins = row.twin_reads_per_second.map_or("-".into(), |rate| format!("{rate:.0}"));
            let _ = writeln!(
                text,
                "{:<9} {:>7} {:>4} {:>11.0} {:>11.0} {:>11} {:>10.1} {:>10.1} {:>10.1}",
                row.system,
                row.devices,
                if row.tls { "yes" } else { "no" },
                row.connects_per_second,
                row.messages_per_second,
                twins,
                row.bytes_per_device as f64 / 1024.0,
                row.connect_cpu_micros,
                row.message_cpu_micros
            );
            let same = |other: &&Row| other.system == "hub" && other.devices == row.devices && other.tls == row.tls;
            if row.system == "mosquitto"
                && let Some(hub) = self.rows.iter().find(same)
            {
                let _ = writeln!(
                    text,
                    "{:<22} {:>11.2} {:>11.2} {:>22} {:>10.2} {:>10.2}",
                    "hub / mosquitto",
                    hub.connects_per_second / row.connects_per_second,
                    hub.messages_per_second / row.messages_per_second,
                    "",
                    hub.connect_cpu_micros / row.connect_cpu_micros,
                    hub.message_cpu_micros / row.message_cpu_micros
                );
            }
        }
        text
    }
}
