//! A TAP device of the host at the end of the board's Ethernet cable.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sim_base::{EthernetLink, Instant};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use super::LiveError;

/// Shortest frame without FCS, which the board's MAC expects to be padded.
const MIN_FRAME: usize = 60;
/// Longest: header, VLAN tag and 1500 bytes.
const MAX_FRAME: usize = 1518;
/// Virtual time after which the MAC asks again whether a frame has come: the host's network knows no virtual time.
const POLL: Duration = Duration::from_micros(500);

/// The device, in the place of the board's cable.
pub(super) struct Tap {
    device: Arc<SyncDevice>,
    frames: Mutex<Receiver<Vec<u8>>>,
    waiting: VecDeque<Vec<u8>>,
    asked: Instant,
}

impl Tap {
    /// Opens the TAP device `name`, which is made if there is none, and switches it on.
    pub fn open(name: &str) -> Result<Self, LiveError> {
        let device = DeviceBuilder::new().name(name).layer(Layer::L2).build_sync().map_err(|error| {
            let advice = match error.kind() {
                ErrorKind::PermissionDenied => {
                    "run as root or with CAP_NET_ADMIN, or let root make it: ip tuntap add NAME mode tap user YOU"
                }
                ErrorKind::NotFound => "load the kernel's module: modprobe tun",
                ErrorKind::ResourceBusy => "another program holds it: choose another name",
                _ => "check the name with: ip tuntap list",
            };
            LiveError::Tap { name: name.to_owned(), why: error.to_string(), advice }
        })?;
        let device = Arc::new(device);
        let (sender, frames) = channel();
        let reader = Arc::clone(&device);
        // Ends with the process: nothing wakes a blocked read.
        std::thread::spawn(move || read_frames(&reader, &sender));
        Ok(Self { device, frames: Mutex::new(frames), waiting: VecDeque::new(), asked: Instant::ZERO })
    }
}

fn read_frames(device: &SyncDevice, sender: &Sender<Vec<u8>>) {
    let mut buffer = [0; MAX_FRAME];
    loop {
        match device.recv(&mut buffer) {
            Ok(len) => {
                let mut frame = buffer[..len].to_vec();
                frame.resize(len.max(MIN_FRAME), 0);
                if sender.send(frame).is_err() {
                    return;
                }
            }
            // The device is down, or a frame was too long: neither ends the cable.
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

impl EthernetLink for Tap {
    fn transmit(&mut self, _: Instant, frame: &[u8]) {
        // A frame that the host does not take is lost, as on a cable.
        let _ = self.device.send(frame);
    }

    fn receive(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.asked = now;
        let frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.extend(frames.try_iter());
        self.waiting.pop_front()
    }

    fn poll_at(&self) -> Instant {
        if self.waiting.is_empty() { self.asked + POLL } else { self.asked }
    }
}
