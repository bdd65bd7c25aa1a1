//! What an operator does with updates and deployments.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::HubError;
use super::admin::{Printer, json_argument};
use super::client::{Client, escape};
use super::table::{self, Column};

#[derive(Debug, Subcommand)]
pub enum UpdateCommand {
    /// Import an update: an import manifest (`az iot du update init v5`) and the files beside it
    Import {
        /// Import manifest
        manifest: PathBuf,
        /// Directory of the files that it names; that of the manifest without it
        #[arg(long, value_name = "DIR")]
        files: Option<PathBuf>,
    },
    /// List updates
    List {
        #[arg(long)]
        provider: Option<String>,
        #[arg(long)]
        name: Option<String>,
    },
    /// Show an update
    Show(UpdateName),
    /// Delete an update that is not deployed
    Delete(UpdateName),
    /// Spoil a file of the file server, or heal it
    Fault {
        /// Name of the file
        filename: String,
        /// JSON, e.g. {"status": 404, "remaining": 2} or {"truncateAt": 5000}; {} heals
        fault: String,
    },
}

/// An update by its id.
#[derive(Debug, Args)]
pub struct UpdateName {
    /// Provider of the update's id
    provider: String,
    /// Name of the update's id
    name: String,
    /// Version of the update's id
    version: String,
}

#[derive(Debug, Subcommand)]
pub enum DeploymentCommand {
    /// Deploy an update to a group or a device
    Start {
        #[command(flatten)]
        update: UpdateName,
        /// Group: the tag ADUGroup of its devices
        #[arg(long, required_unless_present = "device", conflicts_with = "device")]
        group: Option<String>,
        /// This device alone
        #[arg(long)]
        device: Option<String>,
        /// Its id; a number without it
        #[arg(long, value_name = "ID")]
        id: Option<String>,
        /// When it starts, UTC, RFC 3339
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
        /// Version of the same update to go back to when too many devices fail
        #[arg(long, value_name = "VERSION")]
        rollback_to: Option<String>,
        /// Share of devices that fail before it goes back, in percent
        #[arg(long, default_value_t = 5, requires = "rollback_to")]
        failed_percentage: u8,
        /// And their least number
        #[arg(long, default_value_t = 1, requires = "rollback_to")]
        failed_count: u32,
        /// Spoil what is sent: signature, signingKey, manifest, ...
        #[arg(long)]
        forgery: Option<String>,
    },
    /// List deployments
    List,
    /// Show a deployment, and each device with the reason
    Show { id: String },
    /// Cancel a deployment
    Cancel { id: String },
    /// Ask devices that have failed to try again
    Retry { id: String },
}

#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// List groups
    List,
    /// Show a group with its device classes, best updates and compliance
    Show { group: String },
}

const UPDATES: &[Column] = &[
    ("provider", "/updateId/provider"),
    ("name", "/updateId/name"),
    ("version", "/updateId/version"),
    ("deployable", "/isDeployable"),
    ("imported", "/importedDateTime"),
];
const DEPLOYMENTS: &[Column] = &[
    ("id", "/deploymentId"),
    ("group", "/groupId"),
    ("device", "/deviceId"),
    ("update", "/update/updateId/name"),
    ("version", "/update/updateId/version"),
    ("state", "/judgement/deviceState"),
    ("why", "/judgement/message"),
];
const DEVICES: &[Column] = &[
    ("device", "/deviceId"),
    ("state", "/deviceState"),
    ("result", "/resultCode"),
    ("extended", "/extendedResult"),
    ("why", "/message"),
];
const GROUPS: &[Column] = &[("group", "/groupId"), ("devices", "/deviceCount"), ("deployments", "/deployments")];

pub(super) fn update(command: UpdateCommand, client: &Client, print: &Printer) -> Result<(), HubError> {
    let path =
        |id: &UpdateName| format!("/updates/{}/{}/{}", escape(&id.provider), escape(&id.name), escape(&id.version));
    match command {
        UpdateCommand::Import { manifest, files } => {
            let directory = files.unwrap_or_else(|| manifest.parent().unwrap_or(Path::new("")).to_owned());
            let made = client.call("POST", "/updates", Some(&package(&manifest, &directory)?))?;
            print.members(&made);
        }
        UpdateCommand::List { provider, name } => {
            let wanted = [("provider", provider), ("name", name)];
            let query: Vec<String> = wanted
                .into_iter()
                .filter_map(|(key, value)| value.map(|value| format!("{key}={}", escape(&value))))
                .collect();
            print.list(&client.call("GET", &format!("/updates?{}", query.join("&")), None)?, UPDATES);
        }
        UpdateCommand::Show(id) => print.members(&client.call("GET", &path(&id), None)?),
        UpdateCommand::Delete(id) => drop(client.call("DELETE", &path(&id), None)?),
        UpdateCommand::Fault { filename, fault } => {
            let fault = json_argument(&fault, "the fault")?;
            print.members(&client.call("PUT", &format!("/faults/files/{}", escape(&filename)), Some(&fault))?);
        }
    }
    Ok(())
}

/// The manifest with the files that it names, as the API takes them.
fn package(manifest: &Path, directory: &Path) -> Result<Value, HubError> {
    let read = |path: &Path| std::fs::read(path).map_err(|why| HubError::File { path: path.to_owned(), why });
    let text = String::from_utf8_lossy(&read(manifest)?).into_owned();
    let document = json_argument(&text, &format!("`{}`", manifest.display()))?;
    let listed = document["files"].as_array().cloned().unwrap_or_default();
    let related = listed.iter().flat_map(|file| file["relatedFiles"].as_array().cloned().unwrap_or_default());
    let mut files = Vec::new();
    for file in listed.iter().cloned().chain(related.collect::<Vec<_>>()) {
        if let Some(name) = file["filename"].as_str() {
            files.push(json!({"filename": name, "content": STANDARD.encode(read(&directory.join(name))?)}));
        }
    }
    Ok(json!({"importManifest": document, "files": files}))
}

pub(super) fn deployment(command: DeploymentCommand, client: &Client, print: &Printer) -> Result<(), HubError> {
    let path = |id: &str| format!("/deployments/{}", escape(id));
    let one = |document: &Value| table::list(std::slice::from_ref(document), DEPLOYMENTS);
    match command {
        DeploymentCommand::Start {
            update,
            group,
            device,
            id,
            at,
            rollback_to,
            failed_percentage,
            failed_count,
            forgery,
        } => {
            let UpdateName { provider, name, version } = update;
            let mut body = json!({"updateId": {"provider": provider, "name": name, "version": version}});
            for (key, value) in [("group", group), ("device", device), ("deploymentId", id), ("startTime", at)] {
                if let Some(value) = value {
                    body[key] = value.into();
                }
            }
            if let Some(version) = rollback_to {
                body["rollback"] = json!({
                    "updateId": {"provider": provider, "name": name, "version": version},
                    "devicesFailedPercentage": failed_percentage,
                    "devicesFailedCount": failed_count,
                });
            }
            if let Some(forgery) = forgery {
                body["options"] = json!({"forgery": forgery});
            }
            print.text(&client.call("POST", "/deployments", Some(&body))?, one);
        }
        DeploymentCommand::List => print.list(&client.call("GET", "/deployments", None)?, DEPLOYMENTS),
        DeploymentCommand::Show { id } => {
            let mut document = client.call("GET", &path(&id), None)?;
            document["devices"] = client.call("GET", &format!("{}/devices", path(&id)), None)?;
            print.text(&document, |document| {
                let devices = document["devices"].as_array().map_or(&[][..], Vec::as_slice);
                format!("{}\n\n{}", one(document), table::list(devices, DEVICES))
            });
        }
        DeploymentCommand::Cancel { id } => {
            print.text(&client.call("POST", &format!("{}/cancel", path(&id)), None)?, one);
        }
        DeploymentCommand::Retry { id } => {
            print.members(&client.call("POST", &format!("{}/retry", path(&id)), None)?);
        }
    }
    Ok(())
}

pub(super) fn group(command: &GroupCommand, client: &Client, print: &Printer) -> Result<(), HubError> {
    match command {
        GroupCommand::List => print.list(&client.call("GET", "/groups", None)?, GROUPS),
        GroupCommand::Show { group } => {
            print.members(&client.call("GET", &format!("/groups/{}", escape(group)), None)?)
        }
    }
    Ok(())
}
