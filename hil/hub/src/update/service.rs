//! Everything that Device Update keeps: updates, keys, devices by class and group, deployments.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sim_base::Instant;

use super::fleet::Fleet;
use super::root_keys::KeyRing;
use super::{Deployment, DeploymentId, DeviceWork, Run, Status, Store, Target};
use crate::CloudError;
use crate::durable::{self, Change};
use crate::files;
use crate::keys::Keys;

/// What Device Update keeps.
///
/// Its durable entries, besides those of [`Store`] and [`KeyRing`]:
///
/// | key | what |
/// |---|---|
/// | `deployment/ID` | a deployment |
/// | `work/ID/DEVICE` | how far a device has come with it |
/// | `adugroup/NAME` | when a group was made |
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) store: Store,
    pub(crate) keys: KeyRing,
    pub(crate) fleet: Fleet,
    pub(crate) runs: BTreeMap<DeploymentId, Run>,
    /// Deployments that have not started, nearest first.
    pub(crate) scheduled: BTreeSet<(Instant, DeploymentId)>,
    pub(crate) next_sequence: u64,
    next_number: u64,
    /// Restored work whose deployment was not restored yet.
    loose: BTreeMap<DeploymentId, Vec<(String, DeviceWork)>>,
    /// Keys of durable entries that have changed.
    changed: BTreeSet<String>,
    /// Devices of restored deployments have to be looked at, whether they exist or not.
    pub(crate) stale: bool,
    /// Devices are being looked at.
    pub(crate) syncing: bool,
}

#[derive(Serialize, Deserialize)]
struct GroupEntry {
    #[serde(with = "durable::instant")]
    created: Instant,
}

impl Service {
    pub(crate) fn new(keys: &Keys, now_unix: u64) -> Result<Self, CloudError> {
        Ok(Self {
            store: Store::default(),
            keys: KeyRing::new(keys, now_unix)?,
            fleet: Fleet::default(),
            runs: BTreeMap::new(),
            scheduled: BTreeSet::new(),
            next_sequence: 1,
            next_number: 1,
            loose: BTreeMap::new(),
            changed: BTreeSet::new(),
            stale: false,
            syncing: false,
        })
    }

    /// A number that is no deployment's id.
    pub(crate) fn free_id(&mut self) -> DeploymentId {
        loop {
            let id = DeploymentId(self.next_number.to_string());
            self.next_number += 1;
            if !self.runs.contains_key(&id) {
                return id;
            }
        }
    }

    pub(crate) fn note_run(&mut self, id: &DeploymentId) {
        self.changed.insert(format!("deployment/{id}"));
    }

    /// Sets what a device's work is now.
    pub(crate) fn set_work(&mut self, id: &DeploymentId, device: &str, work: DeviceWork) {
        if let Some(run) = self.runs.get_mut(id) {
            run.set(device, work);
            self.changed.insert(format!("work/{id}/{device}"));
        }
    }

    /// Forgets a deployment.
    pub(crate) fn forget(&mut self, id: &DeploymentId) {
        if let Some(run) = self.runs.remove(id) {
            self.scheduled.remove(&(run.head.start, id.clone()));
            self.leave(&run.head);
            self.changed.extend(run.work.keys().map(|device| format!("work/{id}/{device}")));
            self.note_run(id);
        }
    }

    /// A deployment is not its target's business any more.
    pub(crate) fn leave(&mut self, head: &Deployment) {
        match &head.target {
            Target::Group(group) => self.fleet.leave(group, &head.id),
            Target::Device(device) => {
                if self.fleet.members.get(device).is_some_and(|member| member.direct.as_ref() == Some(&head.id)) {
                    self.fleet.update(device, |member| member.direct = None);
                }
            }
        }
    }

    /// A deployment has started: devices find it with its target.
    pub(crate) fn enter(&mut self, now: Instant, head: &Deployment) {
        match &head.target {
            Target::Group(group) => {
                let runs = &self.runs;
                let sequence = |id: &DeploymentId| runs.get(id).map_or(0, |run| run.head.sequence);
                let list = &mut self.fleet.group(now, group).deployments;
                list.push(head.id.clone());
                list.sort_by_key(sequence);
            }
            Target::Device(device) => self.fleet.update(device, |member| member.direct = Some(head.id.clone())),
        }
    }

    /// The deployment that a device should have: the latest that is for it.
    pub(crate) fn wanted(&self, device: &str) -> Option<DeploymentId> {
        let member = self.fleet.members.get(device)?;
        let in_group = member.place.as_ref().and_then(|(group, class)| self.effective(group, class));
        let sequence = |id: &&DeploymentId| self.runs.get(*id).map_or(0, |run| run.head.sequence);
        member.direct.as_ref().into_iter().chain(in_group).max_by_key(sequence).cloned()
    }

    /// The latest deployment for a subgroup.
    pub(crate) fn effective(&self, group: &str, class: &str) -> Option<&DeploymentId> {
        let list = &self.fleet.groups.get(group)?.deployments;
        list.iter().rev().find(|id| self.runs.get(id).is_some_and(|run| self.fits(&run.head, class)))
    }

    /// Whether devices of a class get a deployment to their group.
    pub(crate) fn fits(&self, head: &Deployment, class: &str) -> bool {
        let fits = || Some(self.fleet.classes.get(class)?.key.fits(self.store.get(&head.update)?));
        head.options.ignore_compatibility || fits() == Some(true)
    }

    /// When something is due.
    pub(crate) fn poll_at(&self) -> Instant {
        self.scheduled.first().map_or(Instant::NEVER, |(at, _)| *at)
    }

    pub(crate) fn forget_changes(&mut self) {
        self.store.forget_changes();
        self.keys.forget_change();
        self.fleet.changed.clear();
        self.changed.clear();
    }

    pub(crate) fn take_changes(&mut self, files: &files::Service) -> Vec<Change> {
        let mut changes = self.store.take_changes(files);
        changes.extend(self.keys.take_change());
        for name in core::mem::take(&mut self.fleet.changed) {
            let entry = self.fleet.birth(&name).map(|created| GroupEntry { created });
            changes.push(Change::new(format!("adugroup/{name}"), entry.as_ref()));
        }
        for key in core::mem::take(&mut self.changed) {
            let change = match key.split_once('/') {
                Some(("deployment", id)) => {
                    let head = self.runs.get(&DeploymentId(id.to_owned())).map(|run| run.head.clone());
                    Change::new(key, head.as_ref())
                }
                Some((_, rest)) => {
                    let work = rest
                        .split_once('/')
                        .and_then(|(id, device)| self.runs.get(&DeploymentId(id.to_owned()))?.work.get(device));
                    Change::new(key, work.cloned().as_ref())
                }
                None => continue,
            };
            changes.push(change);
        }
        changes
    }

    /// Takes back an entry, in any order; false for one that is not of Device Update.
    pub(crate) fn restore(&mut self, key: &str, value: &[u8], files: &mut files::Service) -> Result<bool, String> {
        self.stale = true;
        match key.split_once('/') {
            Some(("deployment", _)) => self.restore_run(durable::read(key, value)?),
            Some(("work", rest)) => {
                let (id, device) =
                    rest.split_once('/').ok_or_else(|| format!("the stored entry `{key}` names no device"))?;
                let (id, work) = (DeploymentId(id.to_owned()), durable::read::<DeviceWork>(key, value)?);
                if self.runs.contains_key(&id) {
                    self.restore_work(&id, device, work);
                } else {
                    self.loose.entry(id).or_default().push((device.to_owned(), work));
                }
            }
            Some(("adugroup", name)) => {
                let GroupEntry { created } = durable::read(key, value)?;
                self.fleet.restore_birth(name, created);
            }
            _ => return Ok(self.keys.restore(key, value)? || self.store.restore(key, value, files)?),
        }
        Ok(true)
    }

    fn restore_run(&mut self, head: Deployment) {
        let id = head.id.clone();
        self.next_sequence = self.next_sequence.max(head.sequence + 1);
        if let Ok(number) = id.as_str().parse::<u64>() {
            self.next_number = self.next_number.max(number.saturating_add(1));
        }
        self.runs.insert(id.clone(), Run::new(head.clone()));
        if head.status == Status::Active {
            if head.started {
                self.enter(head.start, &head);
            } else {
                self.scheduled.insert((head.start, id.clone()));
            }
        }
        for (device, work) in self.loose.remove(&id).unwrap_or_default() {
            self.restore_work(&id, &device, work);
        }
    }

    fn restore_work(&mut self, id: &DeploymentId, device: &str, work: DeviceWork) {
        let in_progress = work.state == super::State::InProgress;
        if !work.moved_on {
            self.fleet.update(device, |member| {
                member.current = Some(id.clone());
                member.in_progress = in_progress;
            });
        }
        if let Some(run) = self.runs.get_mut(id) {
            run.set(device, work);
        }
    }
}
