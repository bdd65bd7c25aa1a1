//! Devices that do as little as they can: what is measured is the other side.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::peer::Peer;

/// A byte stream, encrypted or not.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One connected device.
struct Device {
    stream: Box<dyn Stream>,
    id: String,
    twins: bool,
}

/// What devices do.
#[derive(Clone, Copy)]
pub(super) enum Work {
    /// Send a message of QoS 1 and wait for its acknowledgement.
    Publish,
    /// Ask for the twin and wait for it.
    ReadTwin,
}

/// Connected devices, which stay connected.
pub(super) struct Fleet {
    devices: Vec<Device>,
}

impl Fleet {
    /// Connects `count` devices, `at_once` at the same time.
    pub(super) async fn connect(peer: &Peer, count: usize, at_once: usize) -> Result<Self, String> {
        let peer = Arc::new(peer.clone_for_clients());
        let mut tasks = JoinSet::new();
        for first in 0..at_once {
            let peer = Arc::clone(&peer);
            tasks.spawn(async move {
                let mut devices = Vec::new();
                for number in (first..count).step_by(at_once) {
                    devices.push(Device::connect(&peer, number).await.map_err(|error| format!("CONNECT: {error}"))?);
                }
                Ok::<_, String>(devices)
            });
        }
        Ok(Self { devices: gather(tasks).await? })
    }

    /// Does `total` pieces of work, each device one at a time; yields how many.
    pub(super) async fn work(&mut self, work: Work, total: usize, at_once: usize) -> Result<usize, String> {
        let at_once = at_once.min(self.devices.len());
        let each = total / at_once;
        let mut shares: Vec<Vec<Device>> = (0..at_once).map(|_| Vec::new()).collect();
        for (number, device) in core::mem::take(&mut self.devices).into_iter().enumerate() {
            shares[number % at_once].push(device);
        }
        let mut tasks = JoinSet::new();
        for mut share in shares {
            tasks.spawn(async move {
                let devices = share.len();
                for number in 0..each {
                    let device = &mut share[number % devices];
                    let done = match work {
                        Work::Publish => device.publish().await,
                        Work::ReadTwin => device.read_twin().await,
                    };
                    done.map_err(|error| format!("{}: {error}", device.id))?;
                }
                Ok::<_, String>(share)
            });
        }
        self.devices = gather(tasks).await?;
        Ok(each * at_once)
    }
}

async fn gather(mut tasks: JoinSet<Result<Vec<Device>, String>>) -> Result<Vec<Device>, String> {
    let mut devices = Vec::new();
    while let Some(task) = tasks.join_next().await {
        devices.extend(task.map_err(|error| error.to_string())??);
    }
    Ok(devices)
}

impl Device {
    async fn connect(peer: &Peer, number: usize) -> std::io::Result<Self> {
        let tcp = TcpStream::connect(peer.address).await?;
        tcp.set_nodelay(true)?;
        // Its end leaves nothing: tens of thousands of connections that linger in the system would slow the next round.
        tcp.set_zero_linger()?;
        let mut stream: Box<dyn Stream> = match &peer.tls {
            None => Box::new(tcp),
            Some(config) => {
                let name = ServerName::from(peer.address.ip());
                Box::new(TlsConnector::from(Arc::clone(config)).connect(name, tcp).await?)
            }
        };
        let id = Peer::device(number);
        let user = format!("{}/{id}/?api-version=2021-04-12", peer.host);
        let mut body = b"\x00\x04MQTT\x04\xC2\x00\x00".to_vec();
        for field in [&id, &user, &peer.token(&id)] {
            string(&mut body, field);
        }
        packet(&mut stream, 0x10, &body).await?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await?;
        if answer != [0x20, 2, 0, 0] {
            return Err(std::io::Error::other(format!("refused with code {}", answer[3])));
        }
        Ok(Self { stream, id, twins: false })
    }

    async fn publish(&mut self) -> std::io::Result<()> {
        let mut body = Vec::new();
        string(&mut body, &format!("devices/{}/messages/events/", self.id));
        body.extend(b"\x00\x01{\"temperature\":21.5}");
        packet(&mut self.stream, 0x32, &body).await?;
        let mut answer = [0; 4];
        self.stream.read_exact(&mut answer).await?;
        if answer == [0x40, 2, 0, 1] { Ok(()) } else { Err(std::io::Error::other(format!("{answer:02x?} for PUBACK"))) }
    }

    async fn read_twin(&mut self) -> std::io::Result<()> {
        if !core::mem::replace(&mut self.twins, true) {
            let mut body = b"\x00\x02".to_vec();
            string(&mut body, "$iothub/twin/res/#");
            body.push(0);
            packet(&mut self.stream, 0x82, &body).await?;
            self.stream.read_exact(&mut [0; 5]).await?;
        }
        let mut body = Vec::new();
        string(&mut body, "$iothub/twin/GET/?$rid=1");
        packet(&mut self.stream, 0x30, &body).await?;
        let kind = self.stream.read_u8().await?;
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.stream.read_u8().await?;
            length |= usize::from(byte & 0x7F) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).await?;
        if kind == 0x30 && answer.starts_with(b"\x00\x1c$iothub/twin/res/200/") {
            return Ok(());
        }
        Err(std::io::Error::other(format!("{:?} for a twin", String::from_utf8_lossy(&answer))))
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text.as_bytes());
}

async fn packet(stream: &mut Box<dyn Stream>, kind: u8, body: &[u8]) -> std::io::Result<()> {
    let mut bytes = vec![kind];
    let mut length = body.len();
    loop {
        let more = if length > 0x7F { 0x80 } else { 0 };
        bytes.push((length & 0x7F) as u8 | more);
        length >>= 7;
        if length == 0 {
            break;
        }
    }
    bytes.extend(body);
    stream.write_all(&bytes).await?;
    stream.flush().await
}
