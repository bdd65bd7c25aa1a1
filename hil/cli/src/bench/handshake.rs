//! The firmware's TLS handshakes.

use std::time::Duration;

use hub::EventKind;

use super::cpu_time;
use super::result::Kernel;
use crate::artifacts::Workspace;
use crate::error::Error;
use crate::rig::{Rig, What};
use crate::scenario;

/// Its name among the kernels.
pub const NAME: &str = "tls";
/// Virtual time within which the device must be at its hub.
const LIMIT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(10);

/// From reset until the hub sees the device's CONNECT. Only the time in the board counts, with LAN and hub, which answer
/// on the same thread, but without the runner's own looking.
pub fn measure(workspace: &Workspace) -> Result<Kernel, Error> {
    let (programs, _) = scenario::programs(workspace)?;
    let mut rig = Rig::new(&programs, 1, None, None, false)?;
    rig.start()?;
    let (instructions, cycles) = rig.work();
    let end = rig.now() + LIMIT;
    let mut seconds = 0.0;
    let connected = |rig: &Rig| {
        rig.observations().iter().any(|seen| matches!(&seen.what, What::Cloud(EventKind::Connected { .. })))
    };
    while !connected(&rig) {
        if rig.now() >= end {
            return Err(Error::Bench("the firmware does not reach its hub".to_owned()));
        }
        let next = rig.now() + LOOK;
        seconds += cpu_time::of(|| rig.board().run_until(next)).1;
        // Nothing is left to run; this gathers what was seen.
        rig.collect();
    }
    let (instructions, cycles) = (rig.work().0 - instructions, rig.work().1 - cycles);
    Ok(Kernel::new(NAME, instructions, cycles, seconds, None, None))
}
