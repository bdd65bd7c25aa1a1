//! The local IoT Hub behind a real MQTT broker: Mosquitto takes the devices' connections, and a [`hub::Cloud`] answers.
//!
//! [`Broker`] starts `mosquitto`, as a child process or in a container, with a configuration of its own, follows its log, which says who connects, subscribes
//! and publishes, and is itself a client that takes what devices publish and sends what the cloud has for them. Each
//! device has a process of its own, so that no device sees another's topics, which are the same.
//!
//! What a broker cannot do of IoT Hub is in `docs/hub-broker.md`. Linux only.

mod container;
mod driver;
mod error;
mod lines;
mod link;
mod process;
mod settings;

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant as WallInstant};

use hub::{Cloud, ConnId};
use sim_base::Instant;

pub use error::BrokerError;
pub use process::installed;
pub use settings::{DEFAULT_IMAGE, Place, Settings, Slot};

use container::Container;
use driver::{Action, Driver};
use link::Link;
use process::{Process, Tail};

/// Wall-clock time from the start of the process to its listeners.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// What comes from the broker, or from the cloud's owner.
#[derive(Debug)]
enum Input {
    /// A line of a slot's log.
    Line { slot: usize, text: String },
    /// The log has ended, and the broker with it.
    Ended { slot: usize },
    /// A message of a slot's device.
    Message { slot: usize, topic: String, body: Vec<u8> },
    /// The hub's own connection has failed.
    LinkDown(String),
    /// The cloud may have something for a connection.
    Touch(ConnId),
}

/// Tells a [`Broker`] from another thread that the cloud may have something for a connection.
#[derive(Clone, Debug)]
pub struct Waker(Sender<Input>);

impl Waker {
    /// Wakes [`Broker::wait`].
    pub fn touch(&self, conn: ConnId) {
        // A broker that is gone needs no waking.
        let _ = self.0.send(Input::Touch(conn));
    }
}

/// What is to be done at the broker after a [step](Broker::step).
#[derive(Debug)]
#[must_use = "the devices wait for it"]
pub struct Actions(Vec<Action>);

impl Actions {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A Mosquitto for one device.
struct Instance {
    // Ends before its process.
    link: Link,
    tail: Tail,
    _program: Program,
}

/// What ends with its value.
enum Program {
    Process { _process: Process },
    Container { _container: Box<Container> },
}

/// Mosquittos that run, and the devices at them. They end with this value, and with the process that made it.
pub struct Broker {
    driver: Driver,
    instances: Vec<Instance>,
    inputs: Receiver<Input>,
    sender: Sender<Input>,
    /// Taken from `inputs` while waiting.
    next: Option<Input>,
    version: String,
    /// Where the hub's sockets are.
    _sockets: tempfile::TempDir,
}

impl Broker {
    /// Starts `mosquitto` with a configuration in `directory`, or in one of its own that goes with it. Waits, also for an
    /// image to be pulled.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub fn start(settings: Settings, directory: Option<&Path>) -> Result<Self, BrokerError> {
        // So that the error names the address; Mosquitto's does not.
        let addresses: Vec<_> = settings.slots.iter().map(|slot| slot.address).collect();
        check_free(&addresses)?;
        let failed = |why| BrokerError::Write { path: std::env::temp_dir(), why };
        // Not in `directory`: the name of a socket is at most 107 bytes long.
        let sockets = tempfile::Builder::new().prefix("hil-hub-").tempdir().map_err(failed)?;
        let directory = directory.unwrap_or(sockets.path());
        let (sender, inputs) = channel();
        let mut driver = Driver::new(settings.slots.clone());
        // At once: a container takes its time.
        let started = std::thread::scope(|scope| {
            let (settings, sockets) = (&settings, sockets.path());
            let threads: Vec<_> = (0..settings.slots.len())
                .map(|index| {
                    let sender = sender.clone();
                    scope.spawn(move || start_one(settings, index, directory, sockets, sender))
                })
                .collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().map(join).collect::<Result<Vec<_>, BrokerError>>()
        })?;
        let tails: Vec<Tail> = started.iter().map(|(_, tail, _)| tail.clone()).collect();
        let version = await_start(&inputs, &mut driver, &tails).map_err(|(slot, what)| {
            let (address, last) = (settings.slots[slot].address, tails[slot].text());
            // Somebody was quicker.
            if last.contains("Address already in use") {
                return BrokerError::Taken { address, why: ErrorKind::AddrInUse.into() };
            }
            BrokerError::Died { what, last }
        })?;
        let version = match &settings.place {
            Place::Process => version,
            Place::Container { image } => format!("{version} in a container of {image}"),
        };
        let instances = started
            .into_iter()
            .enumerate()
            .map(|(index, (socket, tail, program))| {
                Ok(Instance { link: Link::open(index, &socket, sender.clone())?, tail, _program: program })
            })
            .collect::<Result<_, BrokerError>>()?;
        Ok(Self { driver, instances, inputs, sender, next: None, version, _sockets: sockets })
    }

    /// Name and version, e.g. `mosquitto 2.0.11`, and the image if it is in a container.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// For other threads that change the cloud.
    pub fn waker(&self) -> Waker {
        Waker(self.sender.clone())
    }

    /// The cloud may have something for a connection.
    pub fn touch(&mut self, conn: ConnId) {
        self.driver.touch(conn);
    }

    /// Waits until there is something for [`step`](Self::step), for `limit` of wall-clock time at most; yields whether there
    /// is.
    pub fn wait(&mut self, limit: Duration) -> bool {
        if self.next.is_none() {
            self.next = self.inputs.recv_timeout(limit).ok();
        }
        self.next.is_some()
    }

    /// Whether something that the log told waits for its message: [`step`](Self::step) is then due again soon, whatever comes.
    pub fn is_waiting(&self) -> bool {
        self.driver.is_waiting()
    }

    /// Whether the broker has yet to do something that it was told, or that its log has announced. For simulations, which
    /// hold their time meanwhile; it looks at every device.
    pub fn is_owed(&self) -> bool {
        self.driver.is_owed()
    }

    /// Does not count as owed any more what was not done until now: the device has not subscribed, or is gone.
    pub fn forgive(&mut self) {
        self.driver.forgive();
    }

    /// Tells the cloud what has happened at the broker, and takes what it has for the devices; does not wait.
    ///
    /// # Errors
    /// [`BrokerError`] if the broker is gone.
    pub fn step(&mut self, now: Instant, cloud: &mut Cloud) -> Result<Actions, BrokerError> {
        while let Some(input) = self.next.take().or_else(|| self.inputs.try_recv().ok()) {
            match input {
                Input::Line { slot, text } => self.driver.line(slot, &text),
                Input::Message { slot, topic, body } => self.driver.message(slot, topic, body),
                Input::Touch(conn) => self.driver.touch(conn),
                Input::Ended { slot } => return Err(self.died(slot)),
                Input::LinkDown(why) => {
                    // Its end is the better reason, and may be told a moment later.
                    return Err(self.ends_soon().map_or(BrokerError::Link(why), |slot| self.died(slot)));
                }
            }
        }
        self.driver.run(now, cloud);
        Ok(Actions(self.driver.take_actions()))
    }

    /// Ends every device's connection in the cloud: the broker goes.
    pub fn close_all(&mut self, now: Instant, cloud: &mut Cloud) {
        self.driver.close_all(now, cloud);
    }

    fn died(&self, slot: usize) -> BrokerError {
        let last = self.instances.get(slot).map_or_else(String::new, |instance| instance.tail.text());
        BrokerError::Died { what: "ended", last }
    }

    fn ends_soon(&self) -> Option<usize> {
        let end = WallInstant::now() + Duration::from_millis(500);
        while let Ok(input) = self.inputs.recv_timeout(end.saturating_duration_since(WallInstant::now())) {
            if let Input::Ended { slot } = input {
                return Some(slot);
            }
        }
        None
    }

    /// Does at the broker what the cloud wants.
    ///
    /// # Errors
    /// [`BrokerError::Link`].
    pub fn perform(&mut self, actions: Actions) -> Result<(), BrokerError> {
        for action in actions.0 {
            match action {
                Action::Publish { slot, topic, body, qos } => self.instances[slot].link.publish(&topic, body, qos)?,
                Action::Kick { slot, id, clean } => self.instances[slot].link.kick(&id, clean),
            }
        }
        Ok(())
    }
}

/// Starts the broker of a slot; yields the hub's socket, the log's last lines and the program.
fn start_one(
    settings: &Settings,
    index: usize,
    directory: &Path,
    sockets: &Path,
    inputs: Sender<Input>,
) -> Result<(PathBuf, Tail, Program), BrokerError> {
    let slot = &settings.slots[index];
    let (tail, name) = (Tail::default(), (index + 1).to_string());
    let config = directory.join(&name);
    match &settings.place {
        Place::Process => {
            let socket = sockets.join(format!("{name}.sock"));
            settings.write(&config, slot, &socket)?;
            let process = Process::start(index, &config, tail.clone(), inputs)?;
            Ok((socket, tail, Program::Process { _process: process }))
        }
        Place::Container { image } => {
            let link = sockets.join(format!("{name}.link"));
            let socket = link.join(container::SOCKET_NAME);
            settings.write(&config, slot, &socket)?;
            let container = Container::start(image, slot.address, &config, &link, (index, tail.clone(), inputs))?;
            Ok((socket, tail, Program::Container { _container: Box::new(container) }))
        }
    }
}

/// Whether nobody listens at these addresses.
fn check_free(addresses: &[SocketAddr]) -> Result<(), BrokerError> {
    addresses.iter().try_for_each(|&address| {
        TcpListener::bind(address).map(|_| ()).map_err(|why| BrokerError::Taken { address, why })
    })
}

/// Waits until every broker listens; yields name and version, or which did not and why.
fn await_start(inputs: &Receiver<Input>, driver: &mut Driver, tails: &[Tail]) -> Result<String, (usize, &'static str)> {
    let end = WallInstant::now() + START_PATIENCE;
    let mut missing: Vec<usize> = (0..tails.len()).collect();
    let mut name = "mosquitto".to_owned();
    while let Some(&first) = missing.first() {
        match inputs.recv_timeout(end.saturating_duration_since(WallInstant::now())) {
            Ok(Input::Line { slot, text }) => {
                if let Some(lines::Line::Running { version }) = lines::read(&text) {
                    name = format!("mosquitto {version}");
                    missing.retain(|other| *other != slot);
                }
                driver.line(slot, &text);
            }
            Ok(Input::Ended { slot }) => return Err((slot, "did not start")),
            Ok(_) => {}
            Err(_) => return Err((first, "did not start in time")),
        }
    }
    Ok(name)
}
