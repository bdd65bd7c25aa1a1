//! The official device SDKs of Azure, unmodified, against the hub on sockets.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hub_server::{Config, Server, config::Ports, keys};
use serde_json::json;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Whether a test is skipped: what it needs is missing, and this is not CI, where it has to be there.
fn skipped(test: &str, missing: &str) -> bool {
    assert!(std::env::var_os("CI").is_none(), "{test}: {missing}");
    eprintln!("{test}: skipped: {missing}");
    true
}

/// Runs a program of `fixtures/sdk` against a hub of its own.
///
/// The SDKs know no other port than 8883, so each hub has a loopback address of its own.
fn run(name: &str, address: [u8; 4], mut program: Command) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    let address = IpAddr::from(address);
    let config = Config {
        bind: address,
        host: address.to_string(),
        data: Some(folder.clone()),
        ports: Ports { mqtts: 8883, mqtt: None, files: 0, admin: 0 },
        ..Config::default()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Server::start(&config)).unwrap();

    let device = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "sdk-x509");
    let certificate = params.self_signed(&device).unwrap();
    let (cert, key) = (folder.join("device.pem"), folder.join("device.key.pem"));
    std::fs::write(&cert, certificate.pem()).unwrap();
    std::fs::write(&key, device.serialize_pem()).unwrap();

    let given = json!({
        "admin": format!("http://{}", server.addresses().admin),
        "host": config.host,
        "ca": keys::directory(&config).join(keys::CA),
        "idScope": config.id_scope,
        "x509": {"cert": cert, "key": key, "thumbprint": hub::Thumbprint::sha256(certificate.der()).to_string()},
    });
    let input = folder.join("given.json");
    std::fs::write(&input, given.to_string()).unwrap();
    // The provisioning package of Node takes no CA of its own.
    program.env("NODE_EXTRA_CA_CERTS", keys::directory(&config).join(keys::CA));
    let output = program.stdin(Stdio::from(std::fs::File::open(&input).unwrap())).output().unwrap();
    let log = runtime.block_on(async {
        server.core().look(|_, log, _| log.since(0).map(|entry| format!("{:?}", entry.line())).collect::<Vec<_>>())
    });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}\n{}\nthe hub's log:\n{}",
        text(&output.stdout),
        text(&output.stderr),
        log[log.len().saturating_sub(30)..].join("\n"),
    );
    assert!(text(&output.stdout).trim_end().ends_with("done"), "{}", text(&output.stdout));
    runtime.block_on(server.stop()).unwrap();
}

#[test]
fn python_sdk() {
    let python = root().join("target/python/bin/python");
    let has = Command::new(&python).args(["-c", "import azure.iot.device"]).output();
    if !has.is_ok_and(|output| output.status.success())
        && skipped("python_sdk", "target/python has no azure-iot-device (CONTRIBUTING.md)")
    {
        return;
    }
    let mut program = Command::new(python);
    program.arg(root().join("fixtures/sdk/device.py"));
    run("python_sdk", [127, 54, 0, 2], program);
}

#[test]
fn node_sdk() {
    let modules = root().join("target/sdk/node_modules");
    if !modules.join("azure-iot-device-mqtt").is_dir()
        && skipped("node_sdk", "target/sdk has no azure-iot-device-mqtt (CONTRIBUTING.md)")
    {
        return;
    }
    let mut program = Command::new("node");
    program.arg(root().join("fixtures/sdk/device.cjs")).env("NODE_PATH", modules);
    run("node_sdk", [127, 54, 0, 3], program);
}
