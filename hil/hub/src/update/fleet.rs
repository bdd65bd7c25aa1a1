//! Devices by class and group.
//!
//! A class is what devices have in common for Device Update: contract model and compatibility properties. A group is a
//! tag. The devices of a class in a group are a subgroup, and everything is counted there, so that a device's report
//! costs the same whatever the number of devices.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sim_base::Instant;

use super::health::{ClassKey, DEFAULT_GROUP};
use super::{DeploymentId, Store, Update, UpdateId};

/// Where a device belongs: group and class.
pub(crate) type Place = (String, String);

/// What a device is seen to be: class and group, if the agent check passes, and what it runs.
pub(crate) type Seen = (Option<(ClassKey, String)>, Option<UpdateId>);

/// What Device Update keeps about a device.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Member {
    /// Group and class; `None` while an agent check fails.
    pub(crate) place: Option<Place>,
    pub(crate) installed: Option<UpdateId>,
    /// Whether its current deployment is under way.
    pub(crate) in_progress: bool,
    /// The latest deployment that was written into its twin.
    pub(crate) current: Option<DeploymentId>,
    /// A deployment to this device alone.
    pub(crate) direct: Option<DeploymentId>,
}

#[derive(Clone, Debug)]
pub(crate) struct Class {
    pub(crate) key: ClassKey,
    /// The newest update that fits.
    pub(crate) best: Option<UpdateId>,
    devices: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Group {
    created: Instant,
    pub(crate) subgroups: BTreeMap<String, Subgroup>,
    /// Active deployments that have started, oldest first.
    pub(crate) deployments: Vec<DeploymentId>,
}

#[derive(Clone, Debug)]
pub(crate) struct Subgroup {
    pub(crate) created: Instant,
    pub(crate) devices: BTreeSet<String>,
    /// Number of devices by what they have installed and whether a deployment is under way.
    tally: BTreeMap<(Option<UpdateId>, bool), usize>,
}

/// How far devices are up to date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Compliance {
    /// Devices.
    pub total_device_count: usize,
    /// Devices for which there is nothing newer.
    pub on_latest_update_device_count: usize,
    /// Devices that could be updated.
    pub new_updates_available_device_count: usize,
    /// Devices with a deployment under way.
    pub updates_in_progress_device_count: usize,
}

impl core::ops::AddAssign for Compliance {
    fn add_assign(&mut self, other: Self) {
        self.total_device_count += other.total_device_count;
        self.on_latest_update_device_count += other.on_latest_update_device_count;
        self.new_updates_available_device_count += other.new_updates_available_device_count;
        self.updates_in_progress_device_count += other.updates_in_progress_device_count;
    }
}

/// Devices by class and group.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    pub(crate) members: BTreeMap<String, Member>,
    pub(crate) classes: BTreeMap<String, Class>,
    pub(crate) groups: BTreeMap<String, Group>,
    /// When groups were made that have no devices yet after a restart.
    pub(crate) births: BTreeMap<String, Instant>,
    /// Names of groups that were made or are gone.
    pub(crate) changed: BTreeSet<String>,
}

/// The newest of the updates that fit.
fn best(key: &ClassKey, store: &Store) -> Option<UpdateId> {
    let fit = store.iter().filter(|update| update.is_deployable() && key.fits(update)).map(Update::id);
    fit.max_by(|a, b| (a.version_numbers(), &a.provider, &a.name).cmp(&(b.version_numbers(), &b.provider, &b.name)))
        .cloned()
}

impl Subgroup {
    fn compliance(&self, best: Option<&UpdateId>) -> Compliance {
        let mut sum = Compliance { total_device_count: self.devices.len(), ..Compliance::default() };
        for ((installed, in_progress), count) in &self.tally {
            let newest = match (installed, best) {
                (_, None) => true,
                (None, Some(_)) => false,
                // An update that was deleted since may be newer than all that are left.
                (Some(installed), Some(best)) => {
                    (&installed.provider, &installed.name) == (&best.provider, &best.name)
                        && installed.version_numbers() >= best.version_numbers()
                }
            };
            if *in_progress {
                sum.updates_in_progress_device_count += count;
            } else if newest {
                sum.on_latest_update_device_count += count;
            } else {
                sum.new_updates_available_device_count += count;
            }
        }
        sum
    }
}

impl Fleet {
    /// Notes where a device belongs now and what it runs; `None` for one that is gone. Yields whether its place is
    /// another one.
    pub(crate) fn observe(&mut self, now: Instant, id: &str, seen: Option<Seen>, store: &Store) -> bool {
        // Mostly it is where it was.
        if let (Some(member), Some((class, installed))) = (self.members.get(id), &seen)
            && member.installed == *installed
            && self.is_at(member.place.as_ref(), class.as_ref())
        {
            return false;
        }
        let before = self.members.get(id).cloned().unwrap_or_default();
        let Some((class, installed)) = seen else {
            self.count(id, &before, false);
            self.members.remove(id);
            self.prune(before.place.as_ref());
            return before.place.is_some();
        };
        let place = class.map(|(key, group)| (group, self.class(key, before.place.as_ref(), store)));
        let after = Member { place, installed, ..before.clone() };
        let moved = after.place != before.place;
        if moved && let Some((group, class)) = &after.place {
            self.enter(now, group, class);
        }
        self.count(id, &before, false);
        self.count(id, &after, true);
        self.members.insert(id.to_owned(), after);
        if moved {
            self.prune(before.place.as_ref());
        }
        moved
    }

    /// Changes what is kept about a device, with the counts.
    pub(crate) fn update(&mut self, id: &str, change: impl FnOnce(&mut Member)) {
        let before = self.members.get(id).cloned().unwrap_or_default();
        let mut after = before.clone();
        change(&mut after);
        self.count(id, &before, false);
        self.count(id, &after, true);
        self.members.insert(id.to_owned(), after);
    }

    /// Whether a place is that of a class and group.
    fn is_at(&self, place: Option<&Place>, seen: Option<&(ClassKey, String)>) -> bool {
        match (place, seen) {
            (None, None) => true,
            (Some((group, class)), Some((key, seen))) => {
                group == seen && self.classes.get(class).is_some_and(|class| class.key == *key)
            }
            _ => false,
        }
    }

    /// The id of a class, which is made if it is new.
    fn class(&mut self, key: ClassKey, likely: Option<&Place>, store: &Store) -> String {
        if let Some((_, id)) = likely
            && self.classes.get(id).is_some_and(|class| class.key == key)
        {
            return id.clone();
        }
        let id = key.id();
        self.classes.entry(id.clone()).or_insert_with(|| Class { best: best(&key, store), key, devices: 0 });
        id
    }

    /// Makes the group and subgroup of a place if they are new.
    fn enter(&mut self, now: Instant, group: &str, class: &str) {
        let group = self.group(now, group);
        let subgroup = || Subgroup { created: now, devices: BTreeSet::new(), tally: BTreeMap::new() };
        group.subgroups.entry(class.to_owned()).or_insert_with(subgroup);
    }

    /// The group of this name, which is made if it is new.
    pub(crate) fn group(&mut self, now: Instant, name: &str) -> &mut Group {
        let births = &mut self.births;
        let changed = &mut self.changed;
        self.groups.entry(name.to_owned()).or_insert_with(|| {
            changed.insert(name.to_owned());
            let created = births.remove(name).unwrap_or(now);
            Group { created, subgroups: BTreeMap::new(), deployments: Vec::new() }
        })
    }

    fn count(&mut self, id: &str, member: &Member, add: bool) {
        let Some((group, class)) = &member.place else { return };
        let subgroup = self.groups.get_mut(group).and_then(|group| group.subgroups.get_mut(class));
        let (Some(subgroup), Some(class)) = (subgroup, self.classes.get_mut(class)) else { return };
        let key = (member.installed.clone(), member.in_progress);
        if add {
            if subgroup.devices.insert(id.to_owned()) {
                class.devices += 1;
            }
            *subgroup.tally.entry(key).or_default() += 1;
        } else {
            if subgroup.devices.remove(id) {
                class.devices -= 1;
            }
            if let Some(count) = subgroup.tally.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    subgroup.tally.remove(&key);
                }
            }
        }
    }

    /// Forgets a place that is empty.
    fn prune(&mut self, place: Option<&Place>) {
        let Some((name, class)) = place else { return };
        if let Some(group) = self.groups.get_mut(name) {
            if group.subgroups.get(class).is_some_and(|subgroup| subgroup.devices.is_empty()) {
                group.subgroups.remove(class);
            }
            if group.subgroups.is_empty() && group.deployments.is_empty() {
                self.groups.remove(name);
                self.changed.insert(name.clone());
            }
        }
        if self.classes.get(class).is_some_and(|class| class.devices == 0) {
            self.classes.remove(class);
        }
    }

    /// After an import or a deletion: the best update of each class.
    pub(crate) fn updates_changed(&mut self, store: &Store) {
        for class in self.classes.values_mut() {
            class.best = best(&class.key, store);
        }
    }

    /// Counts of a subgroup, a group (`class` is `None`) or all devices (both are `None`).
    pub(crate) fn compliance(&self, group: Option<&str>, class: Option<&str>) -> Compliance {
        let mut sum = Compliance::default();
        let groups = self.groups.iter().filter(|(name, _)| group.is_none_or(|wanted| wanted == *name));
        for (id, subgroup) in groups.flat_map(|(_, group)| &group.subgroups) {
            if class.is_none_or(|wanted| wanted == id) {
                sum += subgroup.compliance(self.classes.get(id).and_then(|class| class.best.as_ref()));
            }
        }
        sum
    }

    /// A deployment is not the group's business any more.
    pub(crate) fn leave(&mut self, name: &str, id: &DeploymentId) {
        if let Some(group) = self.groups.get_mut(name) {
            group.deployments.retain(|other| other != id);
            if group.subgroups.is_empty() && group.deployments.is_empty() {
                self.groups.remove(name);
                self.changed.insert(name.to_owned());
            }
        }
    }

    /// Takes back when a group was made.
    pub(crate) fn restore_birth(&mut self, name: &str, created: Instant) {
        match self.groups.get_mut(name) {
            Some(group) => group.created = created,
            None => {
                self.births.insert(name.to_owned(), created);
            }
        }
    }

    /// When a group was made.
    pub(crate) fn birth(&self, name: &str) -> Option<Instant> {
        self.groups.get(name).map(|group| group.created)
    }

    /// Whether a deployment may be made for the group.
    pub(crate) fn has_group(&self, name: &str) -> bool {
        name == DEFAULT_GROUP || self.groups.contains_key(name)
    }
}
