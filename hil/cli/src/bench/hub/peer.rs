//! What the devices connect to: a hub or a Mosquitto, as a process of its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject as _};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Key of every device: base64 of 32 bytes.
const KEY: [u8; 32] = [7; 32];
const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// The process, and how clients reach it.
pub(super) struct Peer {
    process: Option<Process>,
    /// Where devices connect.
    pub(super) address: SocketAddr,
    /// Of TLS, if they speak it.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// The hub's name.
    pub(super) host: String,
    /// The hub's API.
    admin: Option<String>,
    expiry: u64,
}

/// Ends with its owner.
struct Process(Child, PathBuf);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = std::fs::remove_dir_all(&self.1);
    }
}

impl Peer {
    fn folder() -> Result<PathBuf, String> {
        let folder = std::env::temp_dir().join(format!("hil-bench-hub-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|error| format!("`{}`: {error}", folder.display()))?;
        Ok(folder)
    }

    fn new(process: Process, port: u16, tls: Option<Arc<ClientConfig>>, admin: Option<String>) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            process: Some(process),
            address: SocketAddr::new(LOOPBACK, port),
            tls,
            host: "localhost".into(),
            admin,
            expiry: now.as_secs() + 3600,
        }
    }

    /// The hub of this program, in memory.
    pub(super) async fn hub(tls: bool) -> Result<Self, String> {
        let folder = Self::folder()?;
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut child = Command::new(program)
            .args(["hub", "--json", "--mqtts", "0", "--mqtt", "0", "--files", "0", "--admin", "0", "--keys"])
            .arg(folder.join("keys"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("the hub does not start: {error}"))?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line).map_err(|error| error.to_string())?;
        }
        let process = Process(child, folder.clone());
        let about: Value = serde_json::from_str(&line).map_err(|_| "the hub does not start".to_owned())?;
        let port = |name: &str| about[name].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
        let config = tls.then(|| client(&folder)).transpose()?;
        let port = if tls { port("mqtts") } else { port("mqtt") };
        Ok(Self::new(process, port, config, about["admin"].as_str().map(str::to_owned)))
    }

    /// Debian's Mosquitto, with the certificate of a hub.
    pub(super) async fn mosquitto(tls: bool) -> Result<Self, String> {
        // Its keys, made as the hub makes them.
        let folder = Self::folder()?;
        let keys = hub_server::Config { keys: Some(folder.join("keys")), ..hub_server::Config::default() };
        hub_server::keys::open(&keys).map_err(|error| error.to_string())?;
        let port = TcpListener::bind((LOOPBACK, 0)).and_then(|listener| listener.local_addr());
        let port = port.map_err(|error| error.to_string())?.port();
        let mut text = format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type error\n");
        if tls {
            let at = |name: &str| folder.join("keys").join(name).display().to_string();
            text += &format!("certfile {}\nkeyfile {}\n", at("server.pem"), at("server.key.pem"));
        }
        // As root it would become another user, who may not read the key.
        text += "user root\n";
        let config = folder.join("mosquitto.conf");
        std::fs::write(&config, text).map_err(|error| error.to_string())?;
        // It complains about each client that ends without DISCONNECT.
        let log = folder.join("mosquitto.log");
        let program = ["mosquitto", "/usr/sbin/mosquitto"];
        let child = program.iter().find_map(|program| {
            let log = File::create(&log).map_or_else(|_| Stdio::null(), Stdio::from);
            let mut command = Command::new(program);
            command.arg("-c").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().ok()
        });
        let process = Process(child.ok_or("it is not installed (apt-get install mosquitto)")?, folder.clone());
        let config = tls.then(|| client(&folder)).transpose()?;
        let peer = Self::new(process, port, config, None);
        for _ in 0..500 {
            if tokio::net::TcpStream::connect(peer.address).await.is_ok() {
                return Ok(peer);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        Err(format!("it does not listen: {}", said.lines().last().unwrap_or("it does not say why")))
    }

    /// The same without the process.
    pub(super) fn clone_for_clients(&self) -> Self {
        Self {
            process: None,
            address: self.address,
            tls: self.tls.clone(),
            host: self.host.clone(),
            admin: None,
            expiry: self.expiry,
        }
    }

    /// Id of a device.
    pub(super) fn device(number: usize) -> String {
        format!("bench-{number:05}")
    }

    /// Its password.
    pub(super) fn token(&self, id: &str) -> String {
        let resource = format!("{}%2Fdevices%2F{id}", self.host);
        // HMAC-SHA256, as for the keys of a group's devices.
        let signature = hub::sas::derived_key(&KEY, &format!("{resource}\n{}", self.expiry));
        let signature = STANDARD.encode(signature).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        format!("SharedAccessSignature sr={resource}&sig={signature}&se={}", self.expiry)
    }

    /// Makes the devices known, if the other side knows any.
    pub(super) async fn register(&self, count: usize) -> Result<(), String> {
        let Some(admin) = self.admin.clone() else { return Ok(()) };
        let key = STANDARD.encode(KEY);
        let body = json!({"authentication": {"type": "sas", "symmetricKey": {"primaryKey": key, "secondaryKey": key}}});
        let register = move || {
            let agent = ureq::Agent::new_with_defaults();
            for number in 0..count {
                let url = format!("{admin}/devices/{}", Self::device(number));
                let request = agent.put(&url).header("content-type", "application/json").send(body.to_string());
                request.and_then(|mut answer| answer.body_mut().read_to_vec()).map_err(|error| error.to_string())?;
            }
            Ok(())
        };
        tokio::task::spawn_blocking(register).await.map_err(|error| error.to_string())?
    }

    fn id(&self) -> u32 {
        self.process.as_ref().map_or(0, |process| process.0.id())
    }

    /// Processor time that the process and the clients, which are this one, have taken so far.
    pub(super) fn cpu(&self) -> Result<Cpu, String> {
        Ok(Cpu { server: cpu_of(self.id())?, clients: cpu_of(std::process::id())? })
    }

    /// Memory of the process, bytes (`VmRSS`).
    pub(super) fn resident(&self) -> Result<u64, String> {
        let id = self.id();
        let text = std::fs::read_to_string(format!("/proc/{id}/status")).map_err(|error| error.to_string())?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.map(|kib| kib * 1024).ok_or_else(|| "the process does not say how much memory it has".into())
    }
}

/// Processor time of server and clients.
pub(super) struct Cpu {
    server: Threads,
    clients: Threads,
}

/// Time of each thread on a processor, user and system, in nanoseconds.
type Threads = BTreeMap<OsString, u64>;

impl Cpu {
    /// What each of `count` things has cost, from `self` to `later`: microseconds of the server, and of the clients.
    pub(super) fn each(&self, later: &Self, count: usize) -> (f64, f64) {
        let each = |from: &Threads, to: &Threads| {
            // One that has ended in between had nothing to do with it: those that work go on.
            let spent: u64 = to.iter().map(|(thread, to)| to - from.get(thread).unwrap_or(&0)).sum();
            spent as f64 / 1e3 / count as f64
        };
        (each(&self.server, &later.server), each(&self.clients, &later.clients))
    }
}

/// Time on a processor of the threads of a process (the first number of `schedstat`).
fn cpu_of(process: u32) -> Result<Threads, String> {
    let unknown = |error: std::io::Error| format!("the processor time of process {process}: {error}");
    let mut threads = Threads::new();
    for thread in std::fs::read_dir(format!("/proc/{process}/task")).map_err(unknown)?.flatten() {
        // It may have ended in between.
        let text = std::fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        if let Some(nanos) = text.split(' ').next().and_then(|first| first.parse().ok()) {
            threads.insert(thread.file_name(), nanos);
        }
    }
    Ok(threads)
}

/// TLS 1.2 or 1.3, trusting the CA of the directory.
fn client(folder: &std::path::Path) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(folder.join("keys").join(hub_server::keys::CA))
        .map_err(|error| error.to_string())?;
    roots.add(ca).map_err(|error| error.to_string())?;
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
