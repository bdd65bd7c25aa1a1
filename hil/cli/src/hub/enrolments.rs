//! What an operator does with the provisioning service.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::HubError;
use super::admin::{Printer, pairs};
use super::client::{Client, escape};
use super::table::Column;

#[derive(Debug, Subcommand)]
pub enum EnrolmentCommand {
    /// Let a device, or a group of them, register; prints the key of a new one
    Create(CreateArgs),
    /// List enrolments of devices and groups
    List,
    /// Show an enrolment
    Show(Name),
    /// Remove an enrolment; devices that it has made stay
    Delete(Name),
    /// Print the key of a device of a group, which its registration id and the group's key make
    DeviceKey {
        /// Name of the group
        group: String,
        /// Registration id of the device
        id: String,
    },
    /// List registrations: what came of enrolments
    Registrations,
}

#[derive(Debug, Args)]
pub struct CreateArgs {
    #[command(flatten)]
    name: Name,
    /// Key, base64; a random one without it
    #[arg(long, value_name = "BASE64", conflicts_with = "certificate")]
    key: Option<String>,
    /// Certificate, PEM, in place of a key: the device's own, or the CA of the group's
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Device id at the hub; the registration id without it
    #[arg(long, value_name = "DEVICE", conflicts_with = "group")]
    device: Option<String>,
    /// Tag of the twins that are made, e.g. ADUGroup=test
    #[arg(long = "tag", value_name = "NAME=VALUE")]
    tags: Vec<String>,
}

/// An enrolment by its name.
#[derive(Debug, Args)]
pub struct Name {
    /// Registration id, or name of the group
    id: String,
    /// A group's
    #[arg(long)]
    group: bool,
}

impl Name {
    fn path(&self) -> String {
        format!("/{}/{}", if self.group { "enrollmentGroups" } else { "enrollments" }, escape(&self.id))
    }
}

const ENROLMENTS: &[Column] = &[
    ("enrolment", "/id"),
    ("for", "/for"),
    ("attestation", "/attestation/type"),
    ("enabled", "/enabled"),
    ("device", "/deviceId"),
];
const REGISTRATIONS: &[Column] = &[
    ("registration", "/registrationId"),
    ("status", "/status"),
    ("device", "/deviceId"),
    ("hub", "/assignedHub"),
    ("updated", "/lastUpdatedDateTimeUtc"),
];

pub(super) fn enrolment(command: EnrolmentCommand, client: &Client, print: &Printer) -> Result<(), HubError> {
    match command {
        EnrolmentCommand::Create(args) => create(args, client, print)?,
        EnrolmentCommand::List => {
            let mut all = Vec::new();
            for (path, id, what) in
                [("/enrollments", "registrationId", "device"), ("/enrollmentGroups", "name", "group")]
            {
                let Value::Array(enrolments) = client.call("GET", path, None)? else { continue };
                all.extend(enrolments.into_iter().map(|mut enrolment| {
                    enrolment["id"] = enrolment[id].clone();
                    enrolment["for"] = what.into();
                    enrolment
                }));
            }
            print.list(&all.into(), ENROLMENTS);
        }
        EnrolmentCommand::Show(name) => print.members(&client.call("GET", &name.path(), None)?),
        EnrolmentCommand::Delete(name) => drop(client.call("DELETE", &name.path(), None)?),
        EnrolmentCommand::DeviceKey { group, id } => {
            let shown = client.call("GET", &Name { id: group.clone(), group: true }.path(), None)?;
            let key =
                shown["attestation"]["primary"].as_str().filter(|_| shown["attestation"]["type"] == "symmetricKey");
            let key = key.ok_or_else(|| {
                HubError::Argument(format!("devices of the group `{group}` have certificates of their own, or keys are not shown without --token"))
            })?;
            let key = hub::sas::derived_key(&decode(key)?, &id);
            print.text(&json!({"registrationId": id, "key": STANDARD.encode(key)}), key_of);
        }
        EnrolmentCommand::Registrations => print.list(&client.call("GET", "/registrations", None)?, REGISTRATIONS),
    }
    Ok(())
}

fn create(args: CreateArgs, client: &Client, print: &Printer) -> Result<(), HubError> {
    let key = match (&args.certificate, args.key) {
        (Some(_), _) => None,
        (None, Some(key)) => Some(decode(&key).map(|_| key)?),
        (None, None) => {
            let mut key = [0; 32];
            getrandom::fill(&mut key)
                .map_err(|error| HubError::Argument(format!("no random key: {error}; give --key")))?;
            Some(STANDARD.encode(key))
        }
    };
    let attestation = match (&key, &args.certificate) {
        (Some(key), _) if args.name.group => json!({"type": "symmetricKey", "primary": key}),
        (Some(key), _) => json!({"type": "sas", "symmetricKey": {"primaryKey": key, "secondaryKey": key}}),
        (None, Some(file)) => {
            let certificate = certificate(file)?;
            if args.name.group {
                json!({"type": "x509", "primary": STANDARD.encode(certificate)})
            } else {
                let digest = Sha256::digest(certificate);
                let thumbprint: String = digest.iter().map(|byte| format!("{byte:02X}")).collect();
                json!({"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": thumbprint}})
            }
        }
        (None, None) => unreachable!("a key is made where there is no certificate"),
    };
    let mut body = json!({"attestation": attestation, "tags": pairs(&args.tags)?});
    if let Some(device) = args.device {
        body["deviceId"] = device.into();
    }
    let mut made = client.call("PUT", &args.name.path(), Some(&body))?;
    made["key"] = key.into();
    print.text(&made, key_of);
    Ok(())
}

/// The key alone, for people; nothing with a certificate.
fn key_of(document: &Value) -> String {
    document["key"].as_str().unwrap_or_default().to_owned()
}

fn decode(key: &str) -> Result<Vec<u8>, HubError> {
    STANDARD.decode(key).map_err(|error| HubError::Argument(format!("the key is not base64: {error}")))
}

/// The first certificate of a PEM file, DER.
fn certificate(path: &Path) -> Result<Vec<u8>, HubError> {
    use tokio_rustls::rustls::pki_types::CertificateDer;
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    let pem = std::fs::read(path).map_err(|why| HubError::File { path: path.to_owned(), why })?;
    CertificateDer::from_pem_slice(&pem)
        .map(|certificate| certificate.to_vec())
        .map_err(|error| HubError::Argument(format!("`{}` has no certificate in PEM: {error:?}", path.display())))
}
