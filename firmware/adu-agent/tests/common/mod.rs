//! What the tests share: cryptography, signed deployments, a device around the agent.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::path::PathBuf;

use adu_agent::{Action, Agent, Boot, Config, Crypto, REPORT_LEN, RootKey, State};
use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use rsa::{BoxedUint, PublicKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Genuine vectors of the service, if there are any on this machine.
pub fn vectors() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors");
    let path = std::env::var_os("ADU_VECTORS").map_or_else(|| beside.into(), PathBuf::from);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: no vectors at {} (set ADU_VECTORS)", path.display());
    None
}

/// Real RSA.
pub struct RealCrypto;

impl Crypto for RealCrypto {
    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        Sha256::digest(data).into()
    }

    fn rs256_verify(&self, n: &[u8], e: u32, digest: &[u8; 32], signature: &[u8]) -> bool {
        let n = BoxedUint::from_be_slice_vartime(n);
        let e = BoxedUint::from_be_slice_vartime(&e.to_be_bytes());
        PublicKey::new(n, e).is_ok_and(|key| key.pkcs1v15_verify_prehash::<Sha256>(digest, signature).is_ok())
    }
}

/// Signatures without a private key: 384 bytes derived from modulus and digest. Tests of the workflow need no RSA.
pub struct FakeCrypto;

impl FakeCrypto {
    fn signature(n: &[u8], digest: &[u8; 32]) -> Vec<u8> {
        (0..12_u8).flat_map(|block| Sha256::digest([n, digest, &[block]].concat())).collect()
    }
}

impl Crypto for FakeCrypto {
    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        Sha256::digest(data).into()
    }

    fn rs256_verify(&self, n: &[u8], e: u32, digest: &[u8; 32], signature: &[u8]) -> bool {
        e == 65537 && signature == Self::signature(n, digest)
    }
}

pub const ROOT_N: [u8; 384] = [0xA5; 384];
pub const SIGNING_N: [u8; 384] = [0x93; 384];
pub const ROOTS: &[RootKey<'static>] = &[RootKey { kid: "ADU.TEST.R", n: &ROOT_N, e: 65537 }];

pub fn b64url(bytes: impl AsRef<[u8]>) -> String {
    Base64UrlUnpadded::encode_string(bytes.as_ref())
}

pub fn jws(header: &Value, payload: &Value, n: &[u8]) -> String {
    let signed = format!("{}.{}", b64url(header.to_string()), b64url(payload.to_string()));
    let digest = FakeCrypto.sha256(signed.as_bytes());
    format!("{signed}.{}", b64url(FakeCrypto::signature(n, &digest)))
}

pub fn signing_jwk() -> Value {
    json!({"kty": "RSA", "n": b64url(SIGNING_N), "e": "AQAB", "alg": "RS256", "kid": "ADU.TEST.R.S"})
}

pub fn sjwk(kid: &str, jwk: &Value) -> String {
    jws(&json!({"alg": "RS256", "kid": kid}), jwk, &ROOT_N)
}

/// The signature of `manifest` by the test signing key under the test root.
pub fn sign(manifest: &str) -> String {
    let header = json!({"alg": "RS256", "sjwk": sjwk("ADU.TEST.R", &signing_jwk())});
    let hash = FakeCrypto.sha256(manifest.as_bytes());
    jws(&header, &json!({"sha256": Base64::encode_string(&hash)}), &SIGNING_N)
}

/// The manifest of an update of ACME E54 to `version`.
pub fn manifest(version: &str) -> Value {
    json!({
        "manifestVersion": "5",
        "updateId": {"provider": "ACME", "name": "fw", "version": version},
        "compatibility": [{"manufacturer": "ACME", "model": "E54"}],
        "instructions": {"steps": [{
            "handler": "microsoft/swupdate:1",
            "files": ["f0123456789abcdef"],
            "handlerProperties": {"installedCriteria": version},
        }]},
        "files": {"f0123456789abcdef": {
            "fileName": format!("fw-{version}.bin"),
            "sizeInBytes": 262_144,
            "hashes": {"sha256": Base64::encode_string(&FakeCrypto.sha256(version.as_bytes()))},
        }},
        "createdDateTime": "2026-01-01T00:00:00.0000000Z",
    })
}

pub const URL: &str = "http://files.example/acme/fw.bin";

/// `service` that deploys `manifest` as workflow `id`.
pub fn service_of(id: &str, manifest: &Value) -> Value {
    let text = manifest.to_string();
    json!({
        "workflow": {"action": 3, "id": id},
        "updateManifest": text,
        "updateManifestSignature": sign(&text),
        "fileUrls": {"f0123456789abcdef": URL, "fffffffffffffffff": null},
        "rootKeyPackageUrl": "http://files.example/rootkeys.json",
    })
}

pub fn service(id: &str, version: &str) -> Value {
    service_of(id, &manifest(version))
}

/// What the service leaves after a cancellation.
pub fn no_deployment() -> Value {
    json!({
        "workflow": {"action": 255, "id": "nodeployment"},
        "updateManifest": null, "updateManifestSignature": null, "fileUrls": null,
    })
}

pub fn patch(version: i64, service: &Value) -> Value {
    json!({"deviceUpdate": {"__t": "c", "service": service}, "thermostat": {"targetTemperature": 21.5}, "$version": version})
}

pub fn config(running_version: &'static str) -> Config<'static> {
    Config {
        manufacturer: "ACME",
        model: "E54",
        properties: &[],
        agent_version: "test;agent/0.1.0",
        running_version,
        root_keys: ROOTS,
        max_file_len: 900_000,
    }
}

/// An action, owned.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    Report(Value),
    ReadTwin,
    Persist,
    Download { resume: bool },
    CancelDownload,
    Install,
    Confirm,
}

/// An application around the agent: answers reports, stores state, notes what it was asked to do.
pub struct Device {
    pub agent: Agent<'static>,
    pub stored: Vec<u8>,
    pub now_ms: u64,
    pub answers: u16,
}

impl Device {
    pub fn start(running_version: &'static str, boot: Boot) -> Self {
        Self::restart(running_version, boot, &[])
    }

    /// Starts with what was stored before.
    pub fn restart(running_version: &'static str, boot: Boot, stored: &[u8]) -> Self {
        let state = State::from_bytes(stored).unwrap_or_default();
        Self {
            agent: Agent::new(config(running_version), state, boot).unwrap(),
            stored: stored.to_vec(),
            now_ms: 0,
            answers: 204,
        }
    }

    /// Carries out actions until there is none.
    pub fn run(&mut self) -> Vec<Done> {
        let mut done = Vec::new();
        for _ in 0..100 {
            let mut out = [0; REPORT_LEN];
            done.push(match self.agent.poll(self.now_ms, &mut out) {
                Action::None => return done,
                Action::Report(text) => {
                    let report = serde_json::from_str(text).expect(text);
                    self.agent.report_answered(self.answers, self.now_ms);
                    Done::Report(report)
                }
                Action::ReadTwin => Done::ReadTwin,
                Action::Persist => {
                    self.stored = self.agent.state().to_bytes().to_vec();
                    Done::Persist
                }
                Action::Download => Done::Download { resume: self.agent.download().unwrap().resume },
                Action::CancelDownload => Done::CancelDownload,
                Action::Install => Done::Install,
                Action::Confirm => Done::Confirm,
            });
        }
        panic!("endless actions: {done:?}");
    }

    /// Connects and gives the twin with this `service`; returns what followed the twin.
    pub fn connect(&mut self, version: i64, service: &Value) -> Vec<Done> {
        self.run(); // a start may change the state, and it is stored before anything is said
        self.agent.connected();
        let first = self.run();
        assert!(matches!(first[..], [Done::Report(_), Done::ReadTwin]), "{first:?}");
        self.twin(version, service)
    }

    pub fn twin(&mut self, version: i64, service: &Value) -> Vec<Done> {
        let twin = json!({"desired": patch(version, service), "reported": {"deviceUpdate": {"agent": {"state": 0}}, "$version": 44}});
        self.agent.twin(&FakeCrypto, &mut twin.to_string().into_bytes()).unwrap();
        self.run()
    }

    pub fn patch(&mut self, version: i64, service: &Value) -> Vec<Done> {
        self.agent.desired_patch(&FakeCrypto, &mut patch(version, service).to_string().into_bytes()).unwrap();
        self.run()
    }
}

/// The only report among `done`.
pub fn report(done: &[Done]) -> &Value {
    let mut reports = done.iter().filter_map(|done| match done {
        Done::Report(report) => Some(&report["deviceUpdate"]),
        _ => None,
    });
    let first = reports.next().expect("no report");
    assert!(reports.next().is_none(), "several reports: {done:?}");
    first
}

/// State, result code, extended result code and workflow id of a report.
pub fn outcome(done: &[Done]) -> (i64, i64, i64, String) {
    let agent = &report(done)["agent"];
    let result = &agent["lastInstallResult"];
    (
        agent["state"].as_i64().unwrap(),
        result["resultCode"].as_i64().unwrap(),
        result["extendedResultCode"].as_i64().unwrap(),
        agent["workflow"]["id"].as_str().unwrap().into(),
    )
}
