//! Who a device is and whom it trusts, as a file for people (`docs/production.md`), and as the record in its flash.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pkcs1::RsaPublicKeyRef;
use provisioning::{BuildError, Builder, MAX_LEN, RootKey};
use serde::Deserialize;
use spki::SubjectPublicKeyInfoRef;

use super::ProvisionError;

/// The provisioning service of Azure's public cloud.
const DPS_HOST: &str = "global.azure-devices-provisioning.net";
/// PKCS#1 `rsaEncryption`.
const RSA: spki::ObjectIdentifier = spki::ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    registration_id: Option<String>,
    id_scope: Option<String>,
    dps_host: Option<String>,
    hub_host: Option<String>,
    device_id: Option<String>,
    symmetric_key: Option<String>,
    symmetric_key_file: Option<PathBuf>,
    #[serde(default)]
    is_group_key: bool,
    #[serde(default)]
    ca_certificates: Vec<PathBuf>,
    #[serde(default)]
    root_keys: Vec<RootKeyFile>,
    ntp_host: Option<String>,
    mac: Option<String>,
    gateway_host: Option<String>,
    manufacturer: Option<String>,
    model: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RootKeyFile {
    kid: String,
    file: PathBuf,
}

/// What is written into a device's flash, and what people may see of it.
pub struct DeviceRecord {
    /// The bytes, from the first of [`layout::PROVISIONING`](update_image::layout::PROVISIONING) on.
    pub bytes: Vec<u8>,
    /// Name and value of each field, without the key itself.
    pub fields: Vec<(&'static str, String)>,
}

impl std::fmt::Debug for DeviceRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceRecord").field("fields", &self.fields).finish_non_exhaustive()
    }
}

/// Reads the file at `path` and those that it names; their paths are relative to its folder.
///
/// # Errors
/// A file cannot be read, or a field is missing, unknown or malformed.
pub fn read(path: &Path) -> Result<DeviceRecord, ProvisionError> {
    let text = String::from_utf8(bytes(path)?).map_err(|_| ProvisionError::config(path, "not a text file"))?;
    let file: File = toml::from_str(&text).map_err(|why| {
        let line = why.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        let why = why.message().replace('\n', " ");
        ProvisionError::config(path, format!("line {line}: {why}; docs/production.md has an example"))
    })?;
    let reader = Reader { path, dir: path.parent().unwrap_or(Path::new("")) };
    reader.record(&file)
}

struct Reader<'a> {
    path: &'a Path,
    dir: &'a Path,
}

impl Reader<'_> {
    fn record(&self, file: &File) -> Result<DeviceRecord, ProvisionError> {
        let mut fields = Vec::new();
        let mut buffer = vec![0; MAX_LEN];
        let mut builder = Builder::new(&mut buffer);
        let mut show = |name, value: &str| fields.push((name, value.to_owned()));

        match (&file.hub_host, &file.registration_id) {
            (Some(_), Some(_)) => {
                return Err(self.wrong(
                    "hub_host and registration_id exclude each other: a device is with a hub or asks the provisioning service",
                ));
            }
            (Some(host), None) => {
                let device = self.required("device_id", file.device_id.as_ref(), "hub_host needs it")?;
                self.check("hub_host", host, is_host)?;
                self.check("device_id", device, is_device_id)?;
                self.unused("id_scope", file.id_scope.is_some(), "hub_host")?;
                self.unused("dps_host", file.dps_host.is_some(), "hub_host")?;
                show("hub", host);
                show("device id", device);
                builder = builder.hub(host, device);
            }
            (None, registration) => {
                let why = "say who the device is: registration_id and id_scope, or hub_host and device_id";
                let registration = self.required("registration_id", registration.as_ref(), why)?;
                let scope =
                    self.required("id_scope", file.id_scope.as_ref(), "the portal shows it with the service")?;
                let host = file.dps_host.as_deref().unwrap_or(DPS_HOST);
                self.unused("device_id", file.device_id.is_some(), "registration_id")?;
                self.check("registration_id", registration, is_registration_id)?;
                self.check("id_scope", scope, |text| text.bytes().all(|byte| byte.is_ascii_alphanumeric()))?;
                self.check("dps_host", host, is_host)?;
                show("provisioning", host);
                show("id scope", scope);
                show("registration id", registration);
                builder = builder.dps_host(host).id_scope(scope).registration_id(registration);
            }
        }

        let key = self.key(file)?;
        let kind = if file.is_group_key { "of an enrolment group: for trials only" } else { "the device's own" };
        show("symmetric key", &format!("{} bytes, {kind}", key.len()));
        builder = if file.is_group_key { builder.group_key(&key) } else { builder.symmetric_key(&key) };

        if file.ca_certificates.is_empty() {
            return Err(self.wrong(
                "ca_certificates is missing: name the PEM files of the authorities that the hub's \
                                   certificate comes from",
            ));
        }
        for name in &file.ca_certificates {
            for der in self.certificates(name)? {
                show("CA certificate", &format!("{}, {} bytes", name.display(), der.len()));
                builder = builder.ca_certificate(&der);
            }
        }
        for key in &file.root_keys {
            let (n, e) = self.rsa_key(&key.file)?;
            show("root key", &format!("{}, RSA-{}", key.kid, 8 * n.len()));
            let key = RootKey { kid: &key.kid, n: &n, e };
            let mut scratch = vec![0; MAX_LEN];
            if Builder::new(&mut scratch).root_key(&key).finish().is_err() {
                return Err(self.wrong(&format!(
                    "root_keys: {:?} is no key that manifests can be verified with: RSA of 2048 to 4096 bits, and a kid",
                    key.kid
                )));
            }
            builder = builder.root_key(&key);
        }
        if file.root_keys.is_empty() {
            show("root keys", "those of the firmware");
        }
        if let Some(host) = &file.ntp_host {
            self.check("ntp_host", host, is_host)?;
            show("time server", host);
            builder = builder.ntp_host(host);
        }
        if let Some(text) = &file.mac {
            let mac = mac(text).ok_or_else(|| {
                self.wrong(&format!(
                    "mac: {text:?} is no unicast address; write six pairs of digits: fc:c2:3d:01:02:03"
                ))
            })?;
            show("MAC address", text);
            builder = builder.mac(mac);
        }
        if let Some(host) = &file.gateway_host {
            self.check("gateway_host", host, |host| is_host(host.split(':').next().unwrap_or_default()))?;
            show("download gateway", host);
            builder = builder.gateway_host(host);
        }
        let is_name = |text: &str| text.len() <= 64;
        if let Some(name) = &file.manufacturer {
            self.check("manufacturer", name, is_name)?;
            show("manufacturer", name);
            builder = builder.manufacturer(name);
        }
        if let Some(name) = &file.model {
            self.check("model", name, is_name)?;
            show("model", name);
            builder = builder.model(name);
        }
        let bytes = match builder.finish() {
            Ok(record) => record.to_vec(),
            Err(BuildError::TooLong) => {
                return Err(
                    self.wrong(&format!("the record would have more than {MAX_LEN} bytes; name fewer certificates"))
                );
            }
            Err(other) => return Err(self.wrong(&other.to_string())),
        };
        Ok(DeviceRecord { bytes, fields })
    }

    fn wrong(&self, what: &str) -> ProvisionError {
        ProvisionError::config(self.path, what)
    }

    fn required<'t>(&self, name: &str, value: Option<&'t String>, why: &str) -> Result<&'t str, ProvisionError> {
        value.map(String::as_str).ok_or_else(|| self.wrong(&format!("{name} is missing: {why}")))
    }

    fn unused(&self, name: &str, is_there: bool, because: &str) -> Result<(), ProvisionError> {
        if is_there { Err(self.wrong(&format!("{name} has no meaning beside {because}; remove it"))) } else { Ok(()) }
    }

    fn check(&self, name: &str, value: &str, fits: impl Fn(&str) -> bool) -> Result<(), ProvisionError> {
        if !value.is_empty() && value.len() <= 255 && fits(value) {
            return Ok(());
        }
        let hint = match name {
            "registration_id" => "up to 128 letters, digits, '-', '.', '_' and ':'",
            "device_id" => "up to 128 ASCII letters, digits and -.%_*?!(),:=@$'",
            "id_scope" => "letters and digits, for example 0ne00000000",
            "manufacturer" | "model" => "1 to 64 bytes",
            "gateway_host" => "a name, perhaps with a port, without https://",
            _ => "a name without https://",
        };
        Err(self.wrong(&format!("{name}: {value:?} is not possible; write {hint}")))
    }

    fn key(&self, file: &File) -> Result<Vec<u8>, ProvisionError> {
        let (name, text) = match (&file.symmetric_key, &file.symmetric_key_file) {
            (Some(_), Some(_)) => {
                return Err(self.wrong("symmetric_key and symmetric_key_file exclude each other; remove one"));
            }
            (Some(text), None) => ("symmetric_key".to_owned(), text.clone()),
            (None, Some(path)) => {
                let text = String::from_utf8_lossy(&self.file(path)?).into_owned();
                (format!("symmetric_key_file {}", path.display()), text)
            }
            (None, None) => {
                return Err(self.wrong("symmetric_key_file is missing: name a file with the key in base64"));
            }
        };
        // Not the text: it may be a key with one wrong letter.
        match BASE64_STANDARD.decode(text.trim()) {
            Ok(key) if (16..=64).contains(&key.len()) => Ok(key),
            Ok(key) => Err(self.wrong(&format!("{name}: {} bytes; a key has 16 to 64", key.len()))),
            Err(_) => Err(self.wrong(&format!("{name}: not base64; copy the primary key as the portal shows it"))),
        }
    }

    fn certificates(&self, name: &Path) -> Result<Vec<Vec<u8>>, ProvisionError> {
        let found = self.pem_or_der(name, &["CERTIFICATE"])?;
        let is_sound = |der: &Vec<u8>| webpki::anchor_from_trusted_cert(&der.as_slice().into()).is_ok();
        if found.is_empty() || !found.iter().all(is_sound) {
            return Err(
                self.wrong(&format!("ca_certificates: {} holds no X.509 certificate in PEM form", name.display()))
            );
        }
        Ok(found)
    }

    /// Modulus without leading zeros, and exponent.
    fn rsa_key(&self, name: &Path) -> Result<(Vec<u8>, u32), ProvisionError> {
        let found = self.pem_or_der(name, &["PUBLIC KEY", "RSA PUBLIC KEY"])?;
        found
            .first()
            .and_then(|der| modulus_exponent(der))
            .ok_or_else(|| self.wrong(&format!("root_keys: {} holds no RSA public key in PEM form", name.display())))
    }

    fn pem_or_der(&self, name: &Path, labels: &[&str]) -> Result<Vec<Vec<u8>>, ProvisionError> {
        let bytes = self.file(name)?;
        if bytes.first() == Some(&0x30) {
            return Ok(vec![bytes]);
        }
        let text = String::from_utf8_lossy(&bytes);
        Ok(labels.iter().flat_map(|label| pem(&text, label)).collect())
    }

    fn file(&self, name: &Path) -> Result<Vec<u8>, ProvisionError> {
        bytes(&self.dir.join(name))
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, ProvisionError> {
    std::fs::read(path).map_err(|why| ProvisionError::config(path, format!("cannot be read: {why}; check the path")))
}

/// The contents of each PEM block with this label (RFC 7468).
fn pem(text: &str, label: &str) -> Vec<Vec<u8>> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let blocks = text.split(&begin).skip(1).filter_map(|rest| rest.split_once(&end));
    let bodies = blocks.map(|(body, _)| body.split_ascii_whitespace().collect::<String>());
    bodies.filter_map(|body| BASE64_STANDARD.decode(body).ok()).collect()
}

/// Of a SubjectPublicKeyInfo or a PKCS#1 RSAPublicKey.
fn modulus_exponent(der: &[u8]) -> Option<(Vec<u8>, u32)> {
    let key = match SubjectPublicKeyInfoRef::try_from(der) {
        Ok(info) if info.algorithm.oid == RSA => RsaPublicKeyRef::try_from(info.subject_public_key.raw_bytes()).ok()?,
        Ok(_) => return None,
        Err(_) => RsaPublicKeyRef::try_from(der).ok()?,
    };
    let e = key.public_exponent.as_bytes();
    if e.len() > 4 {
        return None;
    }
    Some((key.modulus.as_bytes().to_vec(), e.iter().fold(0, |e, byte| e << 8 | u32::from(*byte))))
}

fn is_host(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
}

fn is_registration_id(text: &str) -> bool {
    text.len() <= 128
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':'))
}

fn is_device_id(text: &str) -> bool {
    text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.%_*?!(),:=@$'".contains(&byte))
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let parts: Vec<_> = text.split([':', '-']).collect();
    let bytes = parts.iter().map(|part| {
        (part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .then(|| u8::from_str_radix(part, 16).ok())
            .flatten()
    });
    let mac: [u8; 6] = bytes.collect::<Option<Vec<_>>>()?.try_into().ok()?;
    (mac[0] & 1 == 0).then_some(mac)
}
