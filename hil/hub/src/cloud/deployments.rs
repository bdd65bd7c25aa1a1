//! Deployments: made, started, written into twins, cancelled, retried.

use ring::digest::{SHA256, digest};
use sim_base::Instant;

use super::Cloud;
use crate::event::EventKind;
use crate::iot_hub::{HubError, Twin};
use crate::update::{
    self, APPLY, CANCEL, DeployError, DeployOptions, Deployment, DeploymentId, DeviceWork, NO_DEPLOYMENT,
    NewDeployment, Offer, Run, State, Status, Target, UpdateId,
};

impl Cloud {
    /// Deploys an update to one device, at once.
    ///
    /// # Errors
    /// [`DeployError`]; the twin is unchanged then.
    pub fn deploy(
        &mut self,
        now: Instant,
        device: &str,
        update: &UpdateId,
        options: DeployOptions,
    ) -> Result<DeploymentId, DeployError> {
        let target = Target::Device(device.to_owned());
        let update = update.clone();
        self.create_deployment(now, NewDeployment { id: None, target, update, start: None, rollback: None, options })
    }

    /// Makes a deployment; it starts at once, or when its time comes.
    ///
    /// It takes the place of earlier ones to the same device, or to the same devices of a group.
    ///
    /// # Errors
    /// [`DeployError`]; nothing is changed then.
    pub fn create_deployment(&mut self, now: Instant, new: NewDeployment) -> Result<DeploymentId, DeployError> {
        self.sync_updates(now);
        self.check_new(&new)?;
        let id = new.id.unwrap_or_else(|| self.adu.free_id());
        let steps = self.adu.store.get(&new.update).map_or(0, update::Update::steps);
        let start = new.start.unwrap_or(now).max(now);
        let sequence = self.adu.next_sequence;
        self.adu.next_sequence += 1;
        let head = Deployment {
            id: id.clone(),
            target: new.target,
            update: new.update,
            start,
            started: false,
            sequence,
            status: Status::Active,
            is_retried: false,
            rollback: new.rollback,
            is_cloud_initiated_rollback: false,
            steps,
            options: new.options,
        };
        self.adu.runs.insert(id.clone(), Run::new(head));
        self.adu.note_run(&id);
        if start > now {
            self.adu.scheduled.insert((start, id.clone()));
        } else {
            let started = self.start(now, &id, true);
            if started.is_err() {
                self.adu.forget(&id);
            }
            started?;
        }
        self.sync_updates(now);
        Ok(id)
    }

    fn check_new(&self, new: &NewDeployment) -> Result<(), DeployError> {
        if let Some(id) = &new.id {
            DeploymentId::new(id.as_str())?;
            if self.adu.runs.contains_key(id) {
                return Err(DeployError::Exists(id.to_string()));
            }
        }
        let deployable = |id: &UpdateId| match self.adu.store.get(id) {
            None => Err(DeployError::NoUpdate(id.to_string())),
            Some(update) if !update.is_deployable() => Err(DeployError::NotDeployable(id.to_string())),
            Some(update) => Ok(update),
        };
        let update = deployable(&new.update)?;
        let why = match &new.target {
            Target::Device(device) => {
                let found = self.hub.device(device).ok_or_else(|| HubError::NoDevice(device.clone()))?;
                update::compatible(found, update).err().map(|why| DeployError::NotCompatible {
                    device: device.clone(),
                    update: new.update.to_string(),
                    why,
                })
            }
            Target::Group(name) if !self.adu.fleet.has_group(name) => return Err(DeployError::NoGroup(name.clone())),
            Target::Group(name) => self.none_fits(name, update).map(|why| DeployError::NoneCompatible {
                group: name.clone(),
                update: new.update.to_string(),
                why,
            }),
        };
        if let Some(why) = why.filter(|_| !new.options.ignore_compatibility) {
            return Err(why);
        }
        let Some(policy) = &new.rollback else { return Ok(()) };
        let rollback = |why: &str| Err(DeployError::Rollback(why.to_owned()));
        deployable(&policy.update.update_id)?;
        match (&new.target, policy.failure) {
            (Target::Device(_), _) => rollback("it is for deployments to a group"),
            _ if policy.update.update_id == new.update => rollback("its update is the one that is deployed"),
            (_, failure) if !(1..=100).contains(&failure.devices_failed_percentage) => {
                rollback("devicesFailedPercentage must be 1 to 100")
            }
            (_, failure) if failure.devices_failed_count == 0 => rollback("devicesFailedCount must be at least 1"),
            _ => Ok(()),
        }
    }

    /// Why an update is for no device of a group that has devices.
    fn none_fits(&self, name: &str, update: &update::Update) -> Option<String> {
        let group = self.adu.fleet.groups.get(name)?;
        let fits = |id: &String| self.adu.fleet.classes.get(id).is_some_and(|class| class.key.fits(update));
        if group.subgroups.is_empty() || group.subgroups.keys().any(fits) {
            return None;
        }
        let example = group.subgroups.values().find_map(|subgroup| subgroup.devices.first());
        let example = self.hub.device(example?)?;
        let why = update::compatible(example, update).err().unwrap_or_default();
        Some(format!("of `{}`, for example, {why}", example.id()))
    }

    /// A deployment begins; `strict` gives up if it is for one device that cannot take it.
    pub(super) fn start(&mut self, now: Instant, id: &DeploymentId, strict: bool) -> Result<(), DeployError> {
        let Some(run) = self.adu.runs.get_mut(id) else { return Err(DeployError::NoDeployment(id.to_string())) };
        run.head.started = true;
        let head = run.head.clone();
        self.adu.note_run(id);
        match &head.target {
            Target::Device(device) => {
                self.assign(now, id, device, strict)?;
                self.adu.enter(now, &head);
                let older = self.adu.runs.values().filter(|run| run.head.target == head.target && run.head.id != *id);
                let older: Vec<DeploymentId> =
                    older.filter(|run| run.is_open()).map(|run| run.head.id.clone()).collect();
                older.iter().for_each(|old| self.replace(old, id));
            }
            Target::Group(name) => {
                self.adu.enter(now, &head);
                let group = self.adu.fleet.group(now, name);
                let classes: Vec<String> = group.subgroups.keys().cloned().collect();
                let older: Vec<DeploymentId> = group.deployments.iter().filter(|old| *old != id).cloned().collect();
                for class in &classes {
                    if self.adu.effective(name, class) != Some(id) {
                        continue;
                    }
                    let subgroup = self.adu.fleet.groups.get(name).and_then(|group| group.subgroups.get(class));
                    let devices: Vec<String> =
                        subgroup.into_iter().flat_map(|subgroup| subgroup.devices.iter().cloned()).collect();
                    for device in devices {
                        self.offer(now, &device, false);
                    }
                }
                for old in older {
                    let covered = self.adu.runs.get(&old).is_some_and(|run| {
                        let mut own = classes.iter().filter(|class| self.adu.fits(&run.head, class));
                        own.all(|class| self.adu.fits(&head, class))
                    });
                    if covered {
                        self.replace(&old, id);
                    }
                }
            }
        }
        Ok(())
    }

    /// A deployment gives way to another one.
    fn replace(&mut self, old: &DeploymentId, by: &DeploymentId) {
        self.finish(old, Status::Replaced(by.clone()));
    }

    /// A deployment is over: what is in progress counts as cancelled.
    fn finish(&mut self, id: &DeploymentId, status: Status) {
        let Some(run) = self.adu.runs.get_mut(id) else { return };
        run.head.status = status;
        let head = run.head.clone();
        let open = run.work.iter().filter(|(_, work)| work.state == State::InProgress);
        let open: Vec<(String, DeviceWork)> = open.map(|(device, work)| (device.clone(), work.clone())).collect();
        for (device, work) in open {
            self.adu.set_work(id, &device, DeviceWork { state: State::Cancelled, ..work });
            if self.is_current(&device, id) {
                self.adu.fleet.update(&device, |member| member.in_progress = false);
            }
        }
        self.adu.scheduled.remove(&(head.start, id.clone()));
        self.adu.leave(&head);
        self.adu.note_run(id);
    }

    fn is_current(&self, device: &str, id: &DeploymentId) -> bool {
        self.adu.fleet.members.get(device).is_some_and(|member| member.current.as_ref() == Some(id))
    }

    /// Gives a device the deployment that it should have, if it has another one.
    pub(super) fn offer(&mut self, now: Instant, device: &str, moved: bool) {
        let Some(wanted) = self.adu.wanted(device) else { return };
        let had = self.adu.runs.get(&wanted).is_some_and(|run| run.work.contains_key(device));
        if !self.is_current(device, &wanted) && (moved || !had) {
            // What a device alone cannot take is kept as its state.
            let _ = self.assign(now, &wanted, device, false);
        }
    }

    /// Makes a deployment the current one of a device and writes it into the twin. What cannot be written is an error if
    /// `strict`, and otherwise a failure of the device.
    fn assign(&mut self, now: Instant, id: &DeploymentId, device: &str, strict: bool) -> Result<(), DeployError> {
        let member = self.adu.fleet.members.get(device).cloned().unwrap_or_default();
        let sequence = self.run(id)?.head.sequence;
        let version = self.twin(device).map_or(0, Twin::desired_version);
        let seed = format!("{id}\n{sequence}\n{device}\n{}\n{version}", now.as_nanos());
        let work = DeviceWork {
            class: member.place.map(|(_, class)| class).unwrap_or_default(),
            workflow: workflow_id(&seed),
            retry_timestamp: None,
            retry_count: 0,
            desired_version: 0,
            since: now,
            finished: None,
            state: State::InProgress,
            moved_on: false,
            before: member.installed,
            refused: None,
        };
        let work = self.write(now, id, device, work);
        let work = if strict { work.map_err(|(error, _)| error)? } else { work.unwrap_or_else(|(_, work)| *work) };
        let in_progress = work.state == State::InProgress;
        if let Some(old) = member.current.filter(|old| old != id)
            && let Some(left) = self.adu.runs.get(&old).and_then(|run| run.work.get(device)).cloned()
        {
            let state = if left.state == State::InProgress { State::Cancelled } else { left.state };
            self.adu.set_work(&old, device, DeviceWork { state, moved_on: true, ..left });
        }
        self.adu.set_work(id, device, work);
        self.adu.fleet.update(device, |member| {
            member.current = Some(id.clone());
            member.in_progress = in_progress;
        });
        Ok(())
    }

    /// Writes a deployment into a twin; on failure the work comes back as failed.
    fn write(
        &mut self,
        now: Instant,
        id: &DeploymentId,
        device: &str,
        mut work: DeviceWork,
    ) -> Result<DeviceWork, (DeployError, Box<DeviceWork>)> {
        // The change of the twin comes back here as a change of the device; it is looked at later.
        let outer = core::mem::replace(&mut self.adu.syncing, true);
        let outcome = self.write_twin(now, id, device, &work);
        self.adu.syncing = outer;
        work.since = now;
        match outcome {
            Ok(version) => {
                work.desired_version = version;
                self.note(now, device, &work.workflow, APPLY, version);
                Ok(work)
            }
            Err(error) => {
                work.state = State::Failed;
                work.finished = Some(now);
                work.refused = Some(error.to_string());
                Err((error, Box::new(work)))
            }
        }
    }

    fn write_twin(
        &mut self,
        now: Instant,
        id: &DeploymentId,
        device: &str,
        work: &DeviceWork,
    ) -> Result<u64, DeployError> {
        let run = self.adu.runs.get(id).ok_or_else(|| DeployError::NoDeployment(id.to_string()))?;
        let (head, cached) = (run.head.clone(), run.signed.clone());
        let update = self.adu.store.get(&head.update).ok_or_else(|| DeployError::NoUpdate(head.update.to_string()))?;
        let (manifest, signature) = match cached {
            Some(signed) => signed,
            None => update::sign(&self.adu.keys, update.manifest(), head.options.forgery)?,
        };
        let twin = self.twin(device).ok_or_else(|| HubError::NoDevice(device.to_owned()))?;
        let package = self.root_key_package_url();
        let patch = update::apply_patch(
            twin,
            &Offer {
                update,
                files: &self.files,
                manifest: &manifest,
                signature: &signature,
                now_unix: self.utc.seconds(now),
                package: package.as_deref(),
                options: head.options,
                workflow: &work.workflow,
                retry_timestamp: work.retry_timestamp.as_deref(),
            },
        );
        if let Some(run) = self.adu.runs.get_mut(id) {
            run.signed = Some((manifest, signature));
        }
        Ok(self.set_desired(now, device, &patch)?)
    }

    fn note(&mut self, now: Instant, device: &str, workflow: &str, action: u8, version: u64) {
        let kind =
            EventKind::DeploymentChanged { device: device.to_owned(), workflow: workflow.to_owned(), action, version };
        self.record(now, None, vec![kind]);
    }

    /// Cancels a deployment: its devices get action 255, `nodeployment`, everything else null; those that have
    /// succeeded are left alone.
    ///
    /// # Errors
    /// [`DeployError`].
    pub fn cancel(&mut self, now: Instant, id: &DeploymentId) -> Result<(), DeployError> {
        let run = self.active(id)?;
        let open = run.work.iter().filter(|(_, work)| !work.moved_on && work.state != State::Succeeded);
        let devices: Vec<String> = open.map(|(device, _)| device.clone()).collect();
        let outer = core::mem::replace(&mut self.adu.syncing, true);
        for device in devices {
            let Some(twin) = self.twin(&device) else { continue };
            let patch = update::cancel_patch(twin);
            // A twin that cannot even be cancelled keeps what it has.
            if let Ok(version) = self.set_desired(now, &device, &patch) {
                self.note(now, &device, NO_DEPLOYMENT, CANCEL, version);
            }
        }
        self.adu.syncing = outer;
        self.finish(id, Status::Cancelled);
        self.sync_updates(now);
        Ok(())
    }

    /// Asks the devices that have failed, or the one device that it is for, to try again: same workflow id, a new
    /// `retryTimestamp`, signed with the keys that are in use now. Yields how many devices.
    ///
    /// # Errors
    /// [`DeployError`].
    pub fn retry(&mut self, now: Instant, id: &DeploymentId) -> Result<usize, DeployError> {
        let run = self.active(id)?;
        let direct = matches!(run.head.target, Target::Device(_));
        let again = |work: &DeviceWork| !work.moved_on && (direct || work.state == State::Failed);
        let again: Vec<(String, DeviceWork)> = run
            .work
            .iter()
            .filter(|(_, work)| again(work))
            .map(|(device, work)| (device.clone(), work.clone()))
            .collect();
        if let Some(run) = self.adu.runs.get_mut(id) {
            run.signed = None;
            run.head.is_retried = true;
        }
        self.adu.note_run(id);
        let count = again.len();
        for (device, work) in again {
            let work = DeviceWork {
                retry_timestamp: Some(self.utc.format(now)),
                retry_count: work.retry_count + 1,
                state: State::InProgress,
                finished: None,
                refused: None,
                ..work
            };
            let work = match self.write(now, id, &device, work) {
                Ok(work) => work,
                Err((error, _)) if direct => return Err(error),
                Err((_, work)) => *work,
            };
            let in_progress = work.state == State::InProgress;
            self.adu.set_work(id, &device, work);
            self.adu.fleet.update(&device, |member| member.in_progress = in_progress);
        }
        self.sync_updates(now);
        Ok(count)
    }

    /// Forgets a deployment that is over.
    ///
    /// # Errors
    /// [`DeployError`] while it is active.
    pub fn delete_deployment(&mut self, id: &DeploymentId) -> Result<(), DeployError> {
        if self.run(id)?.head.status == Status::Active {
            return Err(DeployError::StillActive(id.to_string()));
        }
        self.adu.forget(id);
        Ok(())
    }

    pub(super) fn run(&self, id: &DeploymentId) -> Result<&Run, DeployError> {
        self.adu.runs.get(id).ok_or_else(|| DeployError::NoDeployment(id.to_string()))
    }

    fn active(&self, id: &DeploymentId) -> Result<&Run, DeployError> {
        let run = self.run(id)?;
        if run.head.status == Status::Active { Ok(run) } else { Err(DeployError::NotActive(id.to_string())) }
    }
}

/// A GUID of version 4 made from a text that never comes twice.
fn workflow_id(seed: &str) -> String {
    let hash = digest(&SHA256, seed.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_ref()[..16]);
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let hex = update::hex(&bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
