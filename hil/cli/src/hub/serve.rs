//! The hub as a process: its start, what it prints, its end.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use hub_server::{Config, Server, ServerError, config, keys};

use crate::broker::{BrokerArgs, BrokerKind};

use super::{HubError, Target};

/// How the hub starts.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Keep all state in this directory; in memory without it
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Read names, ports and limits from this TOML file (docs/hub.md)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Keep CA and keys in this directory
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Listen on this address; 127.0.0.1 without it
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<IpAddr>,
    /// Name by which devices reach the hub; localhost without it
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Port of MQTT over TLS; 8883 without it, 0 for any
    #[arg(long, value_name = "PORT")]
    mqtts: Option<u16>,
    /// Listen for MQTT without TLS as well
    #[arg(long, value_name = "PORT", conflicts_with = "broker")]
    mqtt: Option<u16>,
    #[command(flatten)]
    broker: BrokerArgs,
    /// Port of the file server
    #[arg(long, value_name = "PORT")]
    files: Option<u16>,
    /// Port of API and dashboard
    #[arg(long, value_name = "PORT")]
    admin: Option<u16>,
}

impl ServeArgs {
    fn config(self, token: Option<String>) -> Result<Config, HubError> {
        let mut config = self.config.as_deref().map_or(Ok(Config::default()), Config::read)?;
        config.data = self.data.or(config.data);
        config.keys = self.keys.or(config.keys);
        config.token = token.or(config.token);
        config.bind = self.bind.unwrap_or(config.bind);
        config.host = self.host.unwrap_or(config.host);
        config.ports.mqtts = self.mqtts.unwrap_or(config.ports.mqtts);
        config.ports.mqtt = self.mqtt.or(config.ports.mqtt);
        if let Some(kind) = self.broker.broker {
            config.broker.get_or_insert_default().kind = match kind {
                BrokerKind::Mosquitto => config::BrokerKind::Mosquitto,
                BrokerKind::Container => config::BrokerKind::Container,
            };
        }
        if let (Some(broker), Some(image)) = (&mut config.broker, self.broker.broker_image) {
            broker.image = image;
        }
        config.ports.files = self.files.unwrap_or(config.ports.files);
        config.ports.admin = self.admin.unwrap_or(config.ports.admin);
        Ok(config)
    }
}

/// Runs a hub until Ctrl-C.
pub(super) fn serve(args: ServeArgs, target: Target) -> Result<ExitCode, HubError> {
    let json = target.json;
    let config = args.config(target.token)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ServerError::Runtime)?;
    runtime.block_on(async {
        let server = Server::start(&config).await?;
        print(&config, &server, json);
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).map_err(ServerError::Runtime)?;
        let failed = tokio::select! {
            _ = tokio::signal::ctrl_c() => None,
            _ = terminate.recv() => None,
            why = server.failed() => Some(why),
        };
        let stopped = server.stop().await;
        if let Some(why) = failed {
            return Err(HubError::Stopped(why));
        }
        stopped?;
        Ok(ExitCode::SUCCESS)
    })
}

/// What a device and an SDK need to know.
fn print(config: &Config, server: &Server, json: bool) {
    let at = server.addresses();
    let ca = keys::directory(config).join(keys::CA);
    let admin = format!("http://{}", at.admin);
    let text = if json {
        serde_json::json!({
            "host": config.host,
            "ca": ca,
            "idScope": config.id_scope,
            "mqtts": at.mqtts.port(),
            "broker": server.broker().map(|(version, _)| version),
            "devices": server.broker().map(|(_, addresses)| addresses),
            "mqtt": at.mqtt.map(|at| at.port()),
            "files": at.files.port(),
            "admin": admin,
            "token": server.token(),
            "data": config.data,
        })
        .to_string()
    } else {
        let data = config.data.as_ref().map_or("in memory".into(), |data| data.display().to_string());
        let mut text = format!(
            "host           {host} (MQTT over TLS on {mqtts}, also for the provisioning service)\n\
             id scope       {scope}\n\
             CA             {ca}\n\
             file server    http://{files}\n\
             API, dashboard {admin}\n\
             state          {data}\n",
            host = config.host,
            mqtts = at.mqtts,
            scope = config.id_scope,
            ca = ca.display(),
            files = at.files,
        );
        if let Some((version, addresses)) = server.broker() {
            let (first, last) = (addresses.first(), addresses.last());
            let range = first.zip(last).map_or_else(String::new, |(first, last)| format!("{first} to {last}"));
            text += &format!("broker         {version}: one device at each of {range}\n");
        }
        if let Some(token) = server.token() {
            text += &format!("token          {token}\n");
        }
        text + "\nA device:  cargo hil hub device create NAME    prints its connection string\nCtrl-C ends the hub."
    };
    // Whoever started it may have closed the pipe; the hub runs all the same.
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}
