//! Mosquitto in a container that never outlives the process that started it.
//!
//! Container and hub share two directories of this machine: the configuration, which the container only reads, and one for
//! the hub's socket and two pipes with names. Through one pipe comes the log; the other holds the container up, because the
//! hub has its other end open, and closes it by dying too, however that happens.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use testcontainers::bollard::errors::Error as EngineError;
use testcontainers::bollard::models::PortBinding;
use testcontainers::core::{AccessMode, IntoContainerPort as _, Mount, error::ClientError};
use testcontainers::runners::SyncRunner as _;
use testcontainers::{ContainerRequest, GenericImage, ImageExt as _, TestcontainersError};

use crate::Input;
use crate::error::BrokerError;
use crate::process::{GUARD, Tail, follow};
use crate::settings;

/// Port of the device's listener in the container.
pub(crate) const PORT: u16 = 8883;
/// Where the container sees the hub's socket.
pub(crate) const SOCKET: &str = "/hil/link/hub.sock";
/// Its name in the directory of this machine that the container sees.
pub(crate) const SOCKET_NAME: &str = "hub.sock";

/// Label of the containers; its value is where devices connect.
const LABEL: &str = "hil.listener";

const CONFIG: &str = "/hil/config";
const LINK: &str = "/hil/link";
const LIFE: &str = "life";
const LOG: &str = "log";

/// Time for the engine to start a container, without the time to pull its image.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Puts the pipes where [`GUARD`] expects them. To open one that nobody has open at the other end would wait for ever, so
/// each is opened for both directions first. The hub need not be the container's root, and has to reach the socket; the
/// directory around it is closed to everybody else.
const PIPES: &str = "umask 0\n\
                     exec 4<>/hil/link/life 0</hil/link/life 4<&-\n\
                     exec 4<>/hil/link/log 2>/hil/link/log 4<&-\n";

/// The container.
pub(crate) struct Container {
    container: Option<testcontainers::Container<GenericImage>>,
    /// Ends the container when it is closed.
    _life: File,
    stopgap: Stopgap,
}

/// The other end of the log's pipe, until the container has it: without one, what is read is the end.
type Stopgap = Arc<Mutex<Option<File>>>;

/// The log. It is open before the container starts: what that writes while nobody reads would be lost.
struct Log {
    pipe: File,
    stopgap: Stopgap,
}

impl Log {
    fn open(pipe: &Path) -> std::io::Result<Self> {
        let stopgap = Arc::new(Mutex::new(Some(open(pipe)?)));
        Ok(Self { pipe: File::open(pipe)?, stopgap })
    }
}

impl Read for Log {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = self.pipe.read(buffer)?;
        close(&self.stopgap);
        Ok(len)
    }
}

fn close(stopgap: &Stopgap) {
    drop(stopgap.lock().unwrap_or_else(PoisonError::into_inner).take());
}

impl Container {
    /// Starts a container of `image` that listens at `address`, with the configuration in `config`. `link` is made, and is
    /// where the socket and the pipes are.
    pub fn start(
        image: &str,
        address: SocketAddr,
        config: &Path,
        link: &Path,
        (slot, tail, inputs): (usize, Tail, Sender<Input>),
    ) -> Result<Self, BrokerError> {
        is_local(std::env::var("DOCKER_HOST").ok().as_deref())?;
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |why| BrokerError::Write { path, why }
        };
        DirBuilder::new().mode(0o700).create(link).map_err(failed(link))?;
        let (config, link) = (absolute(config)?, absolute(link)?);
        let (life, log) = (link.join(LIFE), link.join(LOG));
        for pipe in [&life, &log] {
            mknodat(CWD, pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).map_err(|why| failed(pipe)(why.into()))?;
        }
        let life = open(&life).map_err(failed(&life))?;
        let log = Log::open(&log).map_err(failed(&log))?;
        let mut own = Self { container: None, _life: life, stopgap: Arc::clone(&log.stopgap) };
        follow(slot, log, tail.clone(), inputs);
        let started = request(image, address, &config, &link).start();
        own.container = Some(started.map_err(|error| explain(image, address, &error, &tail))?);
        Ok(own)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // A thread of its own: this one may serve a runtime, where nothing may wait for another.
        if let Some(container) = self.container.take() {
            // It has nobody to report to.
            let _ = std::thread::spawn(move || drop(container)).join();
        }
        // Whoever still waits for the log's first line is let go.
        close(&self.stopgap);
    }
}

/// Opens a pipe for both directions, which does not wait for the other end.
fn open(pipe: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).open(pipe)
}

/// The engine needs the whole path.
fn absolute(path: &Path) -> Result<PathBuf, BrokerError> {
    path.canonicalize().map_err(|why| BrokerError::Write { path: path.to_owned(), why })
}

/// What the engine is asked for.
fn request(image: &str, address: SocketAddr, config: &Path, link: &Path) -> ContainerRequest<GenericImage> {
    let (name, tag) = split(image);
    let bind = |path: &Path, to: &str| Mount::bind_mount(path.to_string_lossy(), to);
    let port = PORT.tcp();
    GenericImage::new(name, tag)
        .with_entrypoint("/bin/sh")
        .with_exposed_port(port)
        .with_cmd(["-c", &format!("{PIPES}{GUARD}"), "mosquitto", "mosquitto", "-c", settings::FILE])
        .with_label(LABEL, address.to_string())
        .with_working_dir(CONFIG)
        .with_mount(bind(config, CONFIG).with_access_mode(AccessMode::ReadOnly))
        .with_mount(bind(link, LINK))
        // Files and directories are closed to all but their owner, who need not be root.
        .with_user("0:0")
        .with_cap_drop("ALL")
        .with_cap_add("DAC_OVERRIDE")
        .with_security_opt("no-new-privileges")
        .with_readonly_rootfs(true)
        .with_startup_timeout(START_PATIENCE)
        .with_host_config_modifier(move |host| {
            // Also if the hub is killed and nobody is left to remove it.
            host.auto_remove = Some(true);
            // Nothing that the image says it has.
            host.publish_all_ports = Some(false);
            let (ip, host_port) = (Some(address.ip().to_string()), Some(address.port().to_string()));
            let binding = PortBinding { host_ip: ip, host_port };
            host.port_bindings = Some([(port.to_string(), Some(vec![binding]))].into());
        })
}

/// Name and tag of an image; `latest` if it has none.
fn split(image: &str) -> (&str, &str) {
    match image.rsplit_once(':') {
        // A port of a registry.
        Some((_, tag)) if tag.contains('/') => (image, "latest"),
        Some(parts) => parts,
        None => (image, "latest"),
    }
}

/// Whether directories of this machine are those of the engine: `host` is the value of `DOCKER_HOST`.
fn is_local(host: Option<&str>) -> Result<(), BrokerError> {
    match host.filter(|host| !host.is_empty() && !host.starts_with("unix://")) {
        Some(host) => Err(BrokerError::RemoteEngine { host: host.to_owned() }),
        None => Ok(()),
    }
}

/// What went wrong, where, and what to do.
fn explain(image: &str, address: SocketAddr, error: &TestcontainersError, tail: &Tail) -> BrokerError {
    let why = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    let image = image.to_owned();
    let engine = match error {
        TestcontainersError::Client(ClientError::PullImage { err, .. }) => {
            if is_answer(err) {
                return BrokerError::NoImage { image, why };
            }
            err
        }
        TestcontainersError::Client(
            ClientError::Init(err) | ClientError::CreateContainer(err) | ClientError::StartContainer(err),
        ) => err,
        // It has ended already, and is gone.
        TestcontainersError::Client(ClientError::InspectContainer(EngineError::DockerResponseServerError {
            status_code: 404,
            ..
        })) => return BrokerError::Died { what: "did not start", last: tail.settled() },
        _ => return BrokerError::Container { image, why },
    };
    if !is_answer(engine) {
        let host = match std::env::var("DOCKER_HOST") {
            Ok(host) if host.is_empty() => "the empty DOCKER_HOST".to_owned(),
            Ok(host) => host,
            Err(_) => "unix:///var/run/docker.sock".to_owned(),
        };
        return BrokerError::NoEngine { host, why };
    }
    if why.contains("already allocated") || why.contains("address already in use") {
        return BrokerError::Taken { address, why: std::io::ErrorKind::AddrInUse.into() };
    }
    BrokerError::Container { image, why }
}

/// Whether it is the engine that says so, and not its absence.
fn is_answer(error: &EngineError) -> bool {
    matches!(error, EngineError::DockerResponseServerError { .. } | EngineError::DockerStreamError { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_split_into_name_and_tag() {
        assert_eq!(split("eclipse-mosquitto:2.0.11"), ("eclipse-mosquitto", "2.0.11"));
        assert_eq!(split("registry:5000/mosquitto"), ("registry:5000/mosquitto", "latest"));
        assert_eq!(split("registry:5000/mosquitto:2"), ("registry:5000/mosquitto", "2"));
        assert_eq!(split("mosquitto@sha256:00ff"), ("mosquitto@sha256", "00ff"));
        assert_eq!(split("mosquitto"), ("mosquitto", "latest"));
    }

    #[test]
    fn engine_of_another_machine_is_refused() {
        for host in [None, Some(""), Some("unix:///run/user/1000/docker.sock")] {
            assert!(is_local(host).is_ok(), "{host:?}");
        }
        let error = is_local(Some("tcp://10.0.0.1:2375")).expect_err("no directory in common").to_string();
        assert!(error.contains("tcp://10.0.0.1:2375") && error.contains("unix://"), "{error}");
    }

    #[test]
    fn errors_say_which_part_is_missing() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8883));
        let told = |error| explain("img:1", address, &TestcontainersError::Client(error), &Tail::default());
        let answer = |status_code, message: &str| EngineError::DockerResponseServerError {
            status_code,
            message: message.to_owned(),
        };
        let absent = || EngineError::SocketNotFoundError("/x.sock".to_owned());
        assert!(matches!(told(ClientError::Init(absent())), BrokerError::NoEngine { .. }));
        assert!(matches!(told(ClientError::CreateContainer(absent())), BrokerError::NoEngine { .. }));
        let pull = |err| ClientError::PullImage { descriptor: "img:1".to_owned(), err };
        let error = told(pull(answer(404, "no such\nimage"))).to_string();
        assert!(error.contains("img:1") && error.contains("no such image") && !error.contains('\n'), "{error}");
        let taken = "driver failed programming external connectivity: Bind for 127.0.0.1:8883 failed: port is already allocated";
        assert!(
            matches!(told(ClientError::StartContainer(answer(500, taken))), BrokerError::Taken { address: at, .. } if at == address)
        );
        assert!(matches!(told(ClientError::StartContainer(answer(500, "no /bin/sh"))), BrokerError::Container { .. }));
        assert!(matches!(told(ClientError::InspectContainer(answer(404, "gone"))), BrokerError::Died { .. }));
    }

    /// The pipes with `sh` of this machine in place of a container's: it ends with the file that holds it up.
    #[test]
    fn guarded_program_ends_with_the_pipe_and_its_log_comes_through_the_other() {
        let dir = tempfile::tempdir().expect("a directory");
        let (life, log) = (dir.path().join(LIFE), dir.path().join(LOG));
        for pipe in [&life, &log] {
            mknodat(CWD, pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
        }
        let (sender, inputs) = std::sync::mpsc::channel();
        follow(0, Log::open(&log).expect("a pipe"), Tail::default(), sender);
        let held = open(&life).expect("a pipe");
        let script = format!("{PIPES}{GUARD}").replace(LINK, &dir.path().to_string_lossy());
        let mut guard = std::process::Command::new("/bin/sh")
            .args(["-c", &script, "x", "/bin/sh", "-c", "echo $$ >&2; exec sleep 600"])
            .spawn()
            .expect("sh starts");
        let Ok(Input::Line { text, .. }) = inputs.recv() else { panic!("no line") };
        let process = PathBuf::from(format!("/proc/{text}"));
        assert!(process.exists());
        drop(held);
        assert!(!guard.wait().expect("ends").success());
        assert!(!process.exists());
        // The shell may have a word about it first.
        assert!(matches!(inputs.iter().last(), Some(Input::Ended { slot: 0 })));
    }
}
