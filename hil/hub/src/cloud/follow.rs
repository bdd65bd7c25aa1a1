//! Device Update follows what devices report: class and group, deployments that are for them, policies.

use sim_base::Instant;

use super::Cloud;
use crate::update::{self, DeployOptions, Deployment, DeploymentId, DeviceWork, Run, State};

impl Cloud {
    /// Starts what is due and looks at what has changed.
    pub(super) fn poll_updates(&mut self, now: Instant) {
        self.sync_updates(now);
        while let Some((at, id)) = self.adu.scheduled.first().cloned()
            && at <= now
        {
            self.adu.scheduled.remove(&(at, id.clone()));
            // A device that cannot take it is a failure of the deployment, and not ours.
            let _ = self.start(now, &id, false);
            self.sync_updates(now);
        }
    }

    pub(super) fn updates_poll_at(&self) -> Instant {
        if self.hub.has_noticed() { Instant::ZERO } else { self.adu.poll_at() }
    }

    /// Looks at devices that have changed: class and group, what they report, what they should have.
    pub(super) fn sync_updates(&mut self, now: Instant) {
        if core::mem::replace(&mut self.adu.syncing, true) {
            return;
        }
        loop {
            let mut changed = self.hub.take_noticed();
            if core::mem::take(&mut self.adu.stale) {
                changed.extend(self.adu.fleet.members.keys().cloned());
            }
            if changed.is_empty() {
                break;
            }
            for device in changed {
                self.observe(now, &device);
            }
        }
        self.adu.syncing = false;
    }

    fn observe(&mut self, now: Instant, id: &str) {
        let seen = self
            .hub
            .device(id)
            .map(|device| (update::examine(device).class(), update::installed(device.twin()).ok().flatten()));
        let moved = self.adu.fleet.observe(now, id, seen, &self.adu.store);
        self.settle_device(now, id);
        self.offer(now, id, moved);
    }

    /// Judges the current deployment of a device again.
    fn settle_device(&mut self, now: Instant, device: &str) {
        let Some(id) = self.adu.fleet.members.get(device).and_then(|member| member.current.clone()) else { return };
        let Some(run) = self.adu.runs.get(&id).filter(|run| run.is_open()) else { return };
        let Some(work) = run.work.get(device).filter(|work| !work.moved_on && work.refused.is_none()) else { return };
        let state = update::judge(&run.head, work, device, self.hub.device(device)).state;
        if state == work.state {
            return;
        }
        let finished = (state != State::InProgress).then_some(now);
        let work = DeviceWork { state, finished, ..work.clone() };
        self.adu.set_work(&id, device, work);
        self.adu.fleet.update(device, |member| member.in_progress = state == State::InProgress);
        if state == State::Failed {
            self.roll_back_if_due(now, &id);
        }
    }

    /// Carries out a rollback policy whose thresholds are reached.
    fn roll_back_if_due(&mut self, now: Instant, id: &DeploymentId) {
        let Some(run) = self.adu.runs.get(id).filter(|run| run.is_open()) else { return };
        let Some(policy) = run.head.rollback.clone() else { return };
        let counts = run.counts();
        let (failed, total) = (counts.devices_completed_failed_count, counts.total_devices);
        let enough = failed >= policy.failure.devices_failed_count as usize
            && failed * 100 >= total * usize::from(policy.failure.devices_failed_percentage);
        if !enough {
            return;
        }
        let before = run.head.clone();
        let update = policy.update.update_id;
        let steps = self.adu.store.get(&update).map_or(0, update::Update::steps);
        let mut name = DeploymentId(format!("{id}-rollback"));
        if self.adu.runs.contains_key(&name) {
            name = self.adu.free_id();
        }
        let sequence = self.adu.next_sequence;
        self.adu.next_sequence += 1;
        let head = Deployment {
            id: name.clone(),
            update,
            start: now,
            started: false,
            sequence,
            is_retried: false,
            rollback: None,
            is_cloud_initiated_rollback: true,
            steps,
            options: DeployOptions::default(),
            ..before
        };
        self.adu.runs.insert(name.clone(), Run::new(head));
        // A group takes every deployment; its devices may refuse one by one.
        let _ = self.start(now, &name, false);
    }
}
