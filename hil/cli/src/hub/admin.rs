//! What an operator does with a hub that runs.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::HubError;
use super::client::{Client, escape};
use super::enrolments::{self, EnrolmentCommand};
use super::table::{self, Column};
use super::updates::{self, DeploymentCommand, GroupCommand, UpdateCommand};

/// Where the hub is, and how to answer.
#[derive(Debug, Args)]
pub struct Target {
    /// The hub's API
    #[arg(long, global = true, value_name = "URL", env = "HIL_HUB", default_value = "http://127.0.0.1:8080")]
    hub: String,
    /// Token that changes over the API need; a hub beyond loopback makes one up
    #[arg(long, global = true, value_name = "TOKEN", env = "HIL_HUB_TOKEN", hide_env_values = true)]
    pub(super) token: Option<String>,
    /// Print one JSON document
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// Administration of a hub that runs.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Show names and counts of the hub
    Show,
    /// Devices of the registry
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Enrolments of the provisioning service
    #[command(subcommand)]
    Enrolment(EnrolmentCommand),
    /// Twins: tags, desired and reported properties
    #[command(subcommand)]
    Twin(TwinCommand),
    /// Direct methods
    #[command(subcommand)]
    Method(MethodCommand),
    /// Cloud-to-device messages
    #[command(subcommand)]
    Message(MessageCommand),
    /// Updates of Device Update
    #[command(subcommand)]
    Update(UpdateCommand),
    /// Deployments of updates
    #[command(subcommand)]
    Deployment(DeploymentCommand),
    /// Groups of devices
    #[command(subcommand)]
    Group(GroupCommand),
    /// Faults of the service
    #[command(subcommand)]
    Fault(FaultCommand),
    /// The message log
    Log(LogArgs),
}

#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    /// Register a device and print its connection string
    Create {
        /// Its id
        device: String,
        /// Key, base64; a random one without it
        #[arg(long, value_name = "BASE64", conflicts_with = "thumbprint")]
        key: Option<String>,
        /// Thumbprint of the device's certificate, in place of keys
        #[arg(long, value_name = "HEX")]
        thumbprint: Option<String>,
        /// Tag of its twin, e.g. ADUGroup=test
        #[arg(long = "tag", value_name = "NAME=VALUE")]
        tags: Vec<String>,
    },
    /// List devices
    List {
        /// Only those with this tag
        #[arg(long, value_name = "NAME=VALUE")]
        tag: Option<String>,
        /// Only those that are connected
        #[arg(long)]
        connected: bool,
    },
    /// Show a device
    Show { device: String },
    /// Let a device connect
    Enable { device: String },
    /// Forbid a device to connect, and close its connection
    Disable { device: String },
    /// Remove a device
    Delete { device: String },
    /// Close a device's connection
    Disconnect { device: String },
    /// Close a device's connection as if its token had expired
    ExpireToken { device: String },
}

#[derive(Debug, Subcommand)]
pub enum TwinCommand {
    /// Show a twin
    Get { device: String },
    /// Merge a patch into desired properties
    Set {
        /// Id of the device
        device: String,
        /// JSON object; null deletes
        patch: String,
        /// Merge it into the tags instead
        #[arg(long)]
        tags: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum MethodCommand {
    /// Call a method and print its answer
    Call {
        /// Id of the device
        device: String,
        /// Name of the method
        method: String,
        /// JSON
        payload: Option<String>,
        /// Seconds to wait for the answer
        #[arg(long, value_name = "SECONDS")]
        timeout: Option<u64>,
        /// Seconds to wait for a device that is not connected
        #[arg(long, value_name = "SECONDS")]
        connect_timeout: Option<u64>,
    },
}

#[derive(Debug, Subcommand)]
pub enum MessageCommand {
    /// Queue a message
    Send {
        /// Id of the device
        device: String,
        /// What it says
        body: String,
        /// Application property
        #[arg(long = "property", value_name = "NAME=VALUE")]
        properties: Vec<String>,
        /// Of which outcomes the log tells: none, positive, negative, full
        #[arg(long, default_value = "none")]
        ack: String,
    },
    /// Empty a device's queue
    Purge { device: String },
}

#[derive(Debug, Subcommand)]
pub enum FaultCommand {
    /// Handle the next messages without acknowledging them
    DropPubacks { device: String, count: u32 },
    /// Send the next desired patches twice
    DuplicateDesired { device: String, count: u32 },
    /// Send the next desired patches late
    DelayDesired { device: String, count: u32, millis: u64 },
    /// Send the next desired patches in reverse order
    ReorderDesired { device: String, count: u32 },
    /// Break the connection after so many bytes from the device
    CutReceived { device: String, bytes: u64 },
    /// Break the connection after so many bytes to the device
    CutSent { device: String, bytes: u64 },
    /// Refuse the next twin requests
    RefuseTwin { device: String, status: u16, count: u32 },
    /// Heal every fault of a device
    Clear { device: String },
    /// Refuse the next requests of registering devices
    RefuseDps {
        /// Error code, e.g. 429001: its first three digits are the status
        code: u32,
        /// Number of requests
        count: u32,
    },
    /// Limit what all devices together may do in a second; without limit what is left out
    Throttle(ThrottleArgs),
}

/// Operations a second.
#[derive(Debug, Args)]
pub struct ThrottleArgs {
    /// New connections; more are refused
    #[arg(long, value_name = "NUMBER")]
    connects: Option<u32>,
    /// Twins read by devices; more are answered with 429
    #[arg(long, value_name = "NUMBER")]
    twin_reads: Option<u32>,
    /// Changes of reported properties; more are answered with 429
    #[arg(long, value_name = "NUMBER")]
    twin_updates: Option<u32>,
    /// Messages from devices; one more costs its connection
    #[arg(long, value_name = "NUMBER")]
    telemetry: Option<u32>,
}

/// Which lines of the log.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// Of this device
    #[arg(long)]
    device: Option<String>,
    /// Of this kind, e.g. telemetry
    #[arg(long)]
    kind: Option<String>,
    /// From this number on
    #[arg(long, value_name = "NUMBER")]
    from: Option<u64>,
    /// Go on with lines as they come
    #[arg(short, long)]
    follow: bool,
}

const DEVICES: &[Column] = &[
    ("device", "/deviceId"),
    ("status", "/status"),
    ("connection", "/connectionState"),
    ("model", "/modelId"),
    ("last activity", "/lastActivityTime"),
];
const LINES: &[Column] =
    &[("number", "/number"), ("at", "/at"), ("device", "/device"), ("kind", "/kind"), ("event", "/event")];

/// Most devices of one page of the API.
const PAGE: usize = 1000;

/// Does what was asked for, and prints the answer.
pub(super) fn admin(command: AdminCommand, target: &Target) -> Result<(), HubError> {
    let client = Client::new(&target.hub, target.token.clone());
    let print = Printer { json: target.json };
    match command {
        AdminCommand::Show => print.members(&client.call("GET", "/hub", None)?),
        AdminCommand::Device(command) => device(command, &client, &print)?,
        AdminCommand::Enrolment(command) => enrolments::enrolment(command, &client, &print)?,
        AdminCommand::Twin(command) => twin(command, &client, &print)?,
        AdminCommand::Method(command) => method(command, &client, &print)?,
        AdminCommand::Message(command) => message(command, &client, &print)?,
        AdminCommand::Update(command) => updates::update(command, &client, &print)?,
        AdminCommand::Deployment(command) => updates::deployment(command, &client, &print)?,
        AdminCommand::Group(command) => updates::group(&command, &client, &print)?,
        AdminCommand::Fault(command) => fault(command, &client)?,
        AdminCommand::Log(args) => log(&args, &client, &print)?,
    }
    Ok(())
}

/// How answers are shown.
pub(super) struct Printer {
    json: bool,
}

impl Printer {
    /// Text, or the document.
    pub(super) fn text(&self, document: &Value, text: impl FnOnce(&Value) -> String) {
        use std::io::Write as _;
        let text = if self.json { format!("{document:#}") } else { text(document) };
        if !text.is_empty() {
            // A closed pipe ends the output, not more.
            let _ = writeln!(std::io::stdout(), "{text}");
        }
    }

    pub(super) fn members(&self, document: &Value) {
        self.text(document, table::members);
    }

    pub(super) fn list(&self, rows: &Value, columns: &[Column]) {
        self.text(rows, |rows| table::list(rows.as_array().map_or(&[], Vec::as_slice), columns));
    }
}

/// Each `NAME=VALUE` as a member.
pub(super) fn pairs(texts: &[String]) -> Result<Map<String, Value>, HubError> {
    let pair = |text: &String| {
        let (name, value) =
            text.split_once('=').ok_or_else(|| HubError::Argument(format!("`{text}` is not NAME=VALUE")))?;
        Ok((name.to_owned(), value.into()))
    };
    texts.iter().map(pair).collect()
}

pub(super) fn json_argument(text: &str, what: &str) -> Result<Value, HubError> {
    serde_json::from_str(text).map_err(|error| HubError::Argument(format!("{what} is not JSON: {error}: `{text}`")))
}

fn device(command: DeviceCommand, client: &Client, print: &Printer) -> Result<(), HubError> {
    let path = |device: &str| format!("/devices/{}", escape(device));
    match command {
        DeviceCommand::Create { device, key, thumbprint, tags } => {
            let mut body = json!({"tags": pairs(&tags)?});
            if let Some(key) = key {
                body["authentication"] =
                    json!({"type": "sas", "symmetricKey": {"primaryKey": key, "secondaryKey": key}});
            }
            if let Some(thumbprint) = thumbprint {
                body["authentication"] =
                    json!({"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": thumbprint}});
            }
            let made = client.call("PUT", &path(&device), Some(&body))?;
            print.text(&made, |made| made["connectionString"].as_str().unwrap_or_default().to_owned());
        }
        DeviceCommand::List { tag, connected } => {
            let mut devices: Vec<Value> = Vec::new();
            loop {
                let after = devices.last().and_then(|device| device["deviceId"].as_str()).unwrap_or_default();
                let mut path = format!("/devices?after={}", escape(after));
                if let Some(tag) = &tag {
                    path += &format!("&tag={}", escape(tag));
                }
                if connected {
                    path += "&connection=connected";
                }
                let Value::Array(page) = client.call("GET", &path, None)? else { break };
                let last = page.len() < PAGE;
                devices.extend(page);
                if last {
                    break;
                }
            }
            print.list(&devices.into(), DEVICES);
        }
        DeviceCommand::Show { device } => print.members(&client.call("GET", &path(&device), None)?),
        DeviceCommand::Enable { device } => {
            print.members(&client.call("PATCH", &path(&device), Some(&json!({"status": "enabled"})))?);
        }
        DeviceCommand::Disable { device } => {
            print.members(&client.call("PATCH", &path(&device), Some(&json!({"status": "disabled"})))?);
        }
        DeviceCommand::Delete { device } => drop(client.call("DELETE", &path(&device), None)?),
        DeviceCommand::Disconnect { device } => {
            client.call("POST", &format!("{}/disconnect", path(&device)), None)?;
        }
        DeviceCommand::ExpireToken { device } => {
            client.call("POST", &format!("{}/expire-token", path(&device)), None)?;
        }
    }
    Ok(())
}

fn twin(command: TwinCommand, client: &Client, print: &Printer) -> Result<(), HubError> {
    let (device, patch) = match command {
        TwinCommand::Get { device } => (device, None),
        TwinCommand::Set { device, patch, tags } => {
            let patch = json_argument(&patch, "the patch")?;
            (device, Some(if tags { json!({"tags": patch}) } else { json!({"properties": {"desired": patch}}) }))
        }
    };
    let method = if patch.is_some() { "PATCH" } else { "GET" };
    let document = client.call(method, &format!("/twins/{}", escape(&device)), patch.as_ref())?;
    // A twin is a tree: indented JSON is what people read.
    let body = |document: &Value| {
        let mut document = document.clone();
        for half in ["desired", "reported"] {
            if let Some(half) = document.pointer_mut(&format!("/properties/{half}")).and_then(Value::as_object_mut) {
                half.remove("$metadata");
            }
        }
        format!("{:#}", json!({"tags": document["tags"], "properties": document["properties"]}))
    };
    print.text(&document, body);
    Ok(())
}

fn method(command: MethodCommand, client: &Client, print: &Printer) -> Result<(), HubError> {
    let MethodCommand::Call { device, method, payload, timeout, connect_timeout } = command;
    let payload = payload.map(|payload| json_argument(&payload, "the payload")).transpose()?;
    let mut body = json!({"methodName": method, "payload": payload});
    if let Some(timeout) = timeout {
        body["responseTimeoutInSeconds"] = timeout.into();
    }
    if let Some(timeout) = connect_timeout {
        body["connectTimeoutInSeconds"] = timeout.into();
    }
    print.members(&client.call("POST", &format!("/twins/{}/methods", escape(&device)), Some(&body))?);
    Ok(())
}

fn message(command: MessageCommand, client: &Client, print: &Printer) -> Result<(), HubError> {
    match command {
        MessageCommand::Send { device, body, properties, ack } => {
            let body = json!({"body": body, "properties": pairs(&properties)?, "ack": ack});
            let queued = client.call("POST", &format!("/devices/{}/messages", escape(&device)), Some(&body))?;
            print.text(&queued, |queued| queued["messageId"].as_str().unwrap_or_default().to_owned());
        }
        MessageCommand::Purge { device } => {
            print.members(&client.call("DELETE", &format!("/devices/{}/messages", escape(&device)), None)?);
        }
    }
    Ok(())
}

fn fault(command: FaultCommand, client: &Client) -> Result<(), HubError> {
    let (device, fault) = match command {
        FaultCommand::DropPubacks { device, count } => (device, json!({"fault": "dropPubacks", "count": count})),
        FaultCommand::DuplicateDesired { device, count } => {
            (device, json!({"fault": "duplicateDesired", "count": count}))
        }
        FaultCommand::DelayDesired { device, count, millis } => {
            (device, json!({"fault": "delayDesired", "count": count, "millis": millis}))
        }
        FaultCommand::ReorderDesired { device, count } => (device, json!({"fault": "reorderDesired", "count": count})),
        FaultCommand::CutReceived { device, bytes } => (device, json!({"fault": "cutReceived", "bytes": bytes})),
        FaultCommand::CutSent { device, bytes } => (device, json!({"fault": "cutSent", "bytes": bytes})),
        FaultCommand::RefuseTwin { device, status, count } => {
            let body = json!({"status": status, "count": count});
            client.call("POST", &format!("/devices/{}/faults/refuse-twin", escape(&device)), Some(&body))?;
            return Ok(());
        }
        FaultCommand::Clear { device } => {
            client.call("DELETE", &format!("/devices/{}/faults", escape(&device)), None)?;
            return Ok(());
        }
        FaultCommand::RefuseDps { code, count } => {
            client.call("POST", "/faults/refuse-dps", Some(&json!({"code": code, "count": count})))?;
            return Ok(());
        }
        FaultCommand::Throttle(args) => {
            let ThrottleArgs { connects, twin_reads, twin_updates, telemetry } = args;
            let body = json!({
                "connects": connects, "twinReads": twin_reads, "twinUpdates": twin_updates, "telemetry": telemetry,
            });
            client.call("PUT", "/throttle", Some(&body))?;
            return Ok(());
        }
    };
    client.call("POST", &format!("/devices/{}/faults", escape(&device)), Some(&fault))?;
    Ok(())
}

fn log(args: &LogArgs, client: &Client, print: &Printer) -> Result<(), HubError> {
    let mut query = String::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            query +=
                &format!("{}{name}={}", if query.is_empty() { '?' } else { '&' }, escape(&value).replace('&', "%26"));
        }
    };
    add("device", args.device.clone());
    add("kind", args.kind.clone());
    add("from", args.from.map(|from| from.to_string()));
    if !args.follow {
        print.list(&client.call("GET", &format!("/log{query}"), None)?, LINES);
        return Ok(());
    }
    client.follow(&format!("/log/follow{query}"), |line| {
        use std::io::Write as _;
        let text = if print.json { line.to_string() } else { table::list(&[line], LINES).lines().skip(1).collect() };
        writeln!(std::io::stdout(), "{text}").is_ok()
    })
}
