//! The connections by number: found at once, however many there are.

use core::hash::{BuildHasherDefault, Hasher};
use std::collections::HashMap;

use super::ConnId;
use super::connection::Connection;

/// Numbers that the cloud gives out itself need no protection from whoever would choose them: the product with an odd
/// constant spreads them.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// The connections. What walks over them does it by number, so that a run can be repeated.
#[derive(Default)]
pub(super) struct Connections(HashMap<ConnId, Box<Connection>, BuildHasherDefault<Spread>>);

impl Connections {
    pub(super) fn get(&self, id: ConnId) -> Option<&Connection> {
        self.0.get(&id).map(Box::as_ref)
    }

    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut Connection> {
        self.0.get_mut(&id).map(Box::as_mut)
    }

    pub(super) fn insert(&mut self, id: ConnId, connection: Connection) {
        self.0.insert(id, Box::new(connection));
    }

    pub(super) fn remove(&mut self, id: ConnId) -> Option<Box<Connection>> {
        self.0.remove(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// All, the oldest first.
    pub(super) fn ids(&self) -> Vec<ConnId> {
        let mut ids: Vec<ConnId> = self.0.keys().copied().collect();
        ids.sort_unstable();
        ids
    }
}
