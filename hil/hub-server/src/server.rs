//! A hub that runs: listeners, timers, and its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::api;
use crate::broker::Running;
use crate::config::Config;
use crate::core::Core;
use crate::edge::{self, Kind};
use crate::error::ServerError;
use crate::keys;
use crate::lane::Lane;

/// Time that open connections get at the end to take what is on its way to them.
const DRAIN: Duration = Duration::from_secs(2);

/// A hub with its listeners.
pub struct Server {
    core: Arc<Core>,
    tasks: JoinSet<()>,
    addresses: Addresses,
    token: Option<String>,
    broker: Option<Running>,
    /// After the tasks, some of which are there.
    _lane: Lane,
}

/// Where a hub listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// MQTT over TLS; of a broker's listeners the first.
    pub mqtts: SocketAddr,
    /// MQTT without TLS, if asked for.
    pub mqtt: Option<SocketAddr>,
    /// File server.
    pub files: SocketAddr,
    /// API and dashboard.
    pub admin: SocketAddr,
}

impl Server {
    /// Opens everything; what was stored is there again when this returns.
    ///
    /// # Errors
    /// [`ServerError`].
    pub async fn start(config: &Config) -> Result<Self, ServerError> {
        let keys = keys::open(config)?;
        Self::start_with(config, keys).await
    }

    /// The same, under other keys than those of the directory.
    ///
    /// # Errors
    /// [`ServerError`].
    pub async fn start_with(config: &Config, keys: hub::Keys) -> Result<Self, ServerError> {
        let bind = |what: &'static str, port: u16| {
            let address = SocketAddr::new(config.bind, port);
            let failed = |why| ServerError::Listen { what, address, why };
            let listener = edge::bind(address).map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            Ok::<_, ServerError>((listener, address))
        };
        // A broker has the devices' ports.
        let mqtts = match config.broker {
            None => Some(bind("MQTT over TLS", config.ports.mqtts)?),
            Some(_) => None,
        };
        let mqtt = match config.ports.mqtt.filter(|_| config.broker.is_none()) {
            Some(port) => Some(bind("MQTT", port)?),
            None => None,
        };
        let (files, files_at) = bind("the file server", config.ports.files)?;
        let (admin, admin_at) = bind("the API", config.ports.admin)?;
        let acceptor = edge::acceptor(&keys)?;
        let broker = match config.broker.clone() {
            Some(broker) => {
                let (config, keys) = (config.clone(), keys.clone());
                let started = tokio::task::spawn_blocking(move || Running::start(&config, &broker, &keys)).await;
                Some(started.map_err(|error| ServerError::Runtime(std::io::Error::other(error)))??)
            }
            None => None,
        };
        let core = Core::new(config, keys, &format!("{}:{}", config.host, files_at.port()))?;
        let broker = broker.map(|(broker, mut running)| {
            running.serve(broker, Arc::clone(&core));
            running
        });
        let first = broker.as_ref().and_then(|broker| broker.addresses.first().copied());
        let addresses = Addresses {
            mqtts: mqtts.as_ref().map(|(_, at)| *at).or(first).unwrap_or(files_at),
            mqtt: mqtt.as_ref().map(|(_, at)| *at),
            files: files_at,
            admin: admin_at,
        };
        let room = Arc::new(Semaphore::new(config.limits.connections));
        let mut tasks = JoinSet::new();
        let mut listen = |listener, kind| {
            tasks.spawn(edge::listen(listener, kind, Arc::clone(&core), config.limits.clone(), Arc::clone(&room)));
        };
        let lane = Lane::start().map_err(ServerError::Runtime)?;
        if let Some((mqtts, _)) = mqtts {
            listen(mqtts, Kind::Mqtts(acceptor, lane.handle().clone()));
        }
        listen(files, Kind::Http);
        if let Some((mqtt, _)) = mqtt {
            // Without a handshake there is nothing to do elsewhere.
            let mqtt = lane.adopt(mqtt).map_err(ServerError::Runtime)?;
            let (core, limits) = (Arc::clone(&core), config.limits.clone());
            tasks.spawn_on(edge::listen(mqtt, Kind::Mqtt, core, limits, Arc::clone(&room)), lane.handle());
        }
        let token = config.token.clone().or_else(|| (!config.bind.is_loopback()).then(api::new_token));
        let access = api::Access::new(token.clone(), keys::names(config));
        tasks.spawn(api::serve(admin, Arc::clone(&core), access, config.limits.body));
        let timer = Arc::clone(&core);
        tasks.spawn(async move { timer.run_timer().await });
        let sync = Arc::clone(&core);
        tasks.spawn(async move { sync.run_sync().await });
        Ok(Self { core, tasks, addresses, token, broker, _lane: lane })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Name and version of the broker, and where devices connect to it, one at each address.
    pub fn broker(&self) -> Option<(&str, &[SocketAddr])> {
        self.broker.as_ref().map(|broker| (broker.version.as_str(), broker.addresses.as_slice()))
    }

    /// The token that changes over the API need, if they need one.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// What is behind the edges.
    pub fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Waits until the hub has to stop by itself; yields why.
    pub async fn failed(&self) -> String {
        let mut halted = self.core.halted();
        match halted.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Stops accepting, closes every connection with what is on its way to it, and brings the state to the disk.
    ///
    /// # Errors
    /// [`ServerError::Store`].
    pub async fn stop(mut self) -> Result<(), ServerError> {
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
        if let Some(mut broker) = self.broker.take() {
            let stopped = tokio::task::spawn_blocking(move || broker.stop()).await;
            stopped.map_err(|error| ServerError::Runtime(std::io::Error::other(error)))?;
        }
        self.core.call(|cloud, now| cloud.close_all(now));
        let end = tokio::time::Instant::now() + DRAIN;
        while self.core.open_connections() > 0 && tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.core.sync()
    }
}
