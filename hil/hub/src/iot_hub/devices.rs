//! The devices by id: found at once, however many there are, and walked over in order.

use core::hash::BuildHasherDefault;
use core::ops::Bound;
use std::collections::{BTreeSet, HashMap};
use std::hash::DefaultHasher;
use std::sync::Arc;

use super::Device;

/// Devices and modules. A tree alone would compare a dozen ids, each somewhere else in memory, for each time that a
/// device is looked up, and one packet looks it up several times.
#[derive(Debug, Default)]
pub(super) struct Devices {
    // In boxes: a table keeps room for more than it has. Its hasher begins the same way in each run.
    found: HashMap<Arc<str>, Box<Device>, BuildHasherDefault<DefaultHasher>>,
    order: BTreeSet<Arc<str>>,
}

impl Devices {
    pub(super) fn get(&self, id: &str) -> Option<&Device> {
        self.found.get(id).map(Box::as_ref)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Device> {
        self.found.get_mut(id).map(Box::as_mut)
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.found.contains_key(id)
    }

    /// Adds a device under its id; one that was there before is replaced.
    pub(super) fn insert(&mut self, device: Device) {
        let id: Arc<str> = device.id.as_str().into();
        self.order.insert(Arc::clone(&id));
        self.found.insert(id, Box::new(device));
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Device> {
        self.order.remove(id);
        self.found.remove(id).map(|device| *device)
    }

    /// All, by id.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Device> {
        self.order.iter().filter_map(|id| self.get(id))
    }

    /// Those from a bound on, by id.
    pub(super) fn from<'d>(&'d self, bound: Bound<&str>) -> impl Iterator<Item = &'d Device> + use<'d> {
        self.order.range::<str, _>((bound, Bound::Unbounded)).filter_map(|id| self.get(id))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use sim_base::Instant;

    use super::*;
    use crate::credentials::Attestation;
    use crate::utc::Utc;

    fn device(id: &str, generation: u64) -> Device {
        let attestation = Attestation::SymmetricKey { primary: vec![1; 32], secondary: None };
        Device::new(id, attestation, generation.to_string(), Instant::ZERO, Utc::new(0))
    }

    proptest! {
        #[test]
        fn it_is_a_map_in_order(
            steps in proptest::collection::vec(("[a-c]{1,2}(/[a-c])?", any::<bool>()), 0..60),
            from in "[a-c]{0,2}",
        ) {
            let (mut devices, mut model) = (Devices::default(), BTreeMap::new());
            for (step, (id, insert)) in (0..).zip(&steps) {
                if *insert {
                    devices.insert(device(id, step));
                    model.insert(id.clone(), step.to_string());
                } else {
                    let removed = devices.remove(id).map(|device| device.record.generation);
                    prop_assert_eq!(removed, model.remove(id));
                }
                let found = devices.get(id).map(|device| device.record.generation.clone());
                prop_assert_eq!(devices.contains(id), found.is_some());
                prop_assert_eq!(found.as_ref(), model.get(id));
            }
            let of = |device: &Device| (device.id.clone(), device.record.generation.clone());
            let all: Vec<_> = devices.iter().map(of).collect();
            prop_assert_eq!(all, model.clone().into_iter().collect::<Vec<_>>());
            for bound in [Bound::Excluded(from.as_str()), Bound::Included(from.as_str())] {
                let some: Vec<_> = devices.from(bound).map(of).collect();
                let wanted = model.range::<str, _>((bound, Bound::Unbounded));
                prop_assert_eq!(some, wanted.map(|(id, at)| (id.clone(), at.clone())).collect::<Vec<_>>());
            }
        }
    }
}
