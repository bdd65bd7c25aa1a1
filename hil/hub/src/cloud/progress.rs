//! How far deployments are, and why.

use super::Cloud;
use crate::update::{
    self, DeployError, Deployment, DeploymentDeviceState, DeploymentId, DeploymentStatus, DeploymentView, DeviceWork,
    Judgement, Reason, State, Status, SubgroupStatus, Target, UpdateId, UpdateInfo,
};

impl Cloud {
    /// A deployment.
    pub fn deployment(&self, id: &DeploymentId) -> Option<&Deployment> {
        self.adu.runs.get(id).map(|run| &run.head)
    }

    /// All deployments, by id.
    pub fn deployments(&self) -> impl Iterator<Item = &Deployment> {
        self.adu.runs.values().map(|run| &run.head)
    }

    /// A deployment as the service's API shows it.
    pub fn deployment_view(&self, id: &DeploymentId) -> Option<DeploymentView> {
        let run = self.adu.runs.get(id)?;
        let head = &run.head;
        Some(DeploymentView {
            deployment_id: head.id.to_string(),
            target: head.target.clone(),
            start_date_time: self.utc.format(head.start),
            update: self.update_info(&head.update),
            device_class_subgroups: run.classes().map(|(class, _)| class.to_owned()).collect(),
            is_canceled: head.status == Status::Cancelled,
            is_retried: head.is_retried,
            rollback_policy: head.rollback.clone(),
            is_cloud_initiated_rollback: head.is_cloud_initiated_rollback,
            options: head.options,
        })
    }

    pub(super) fn update_info(&self, id: &UpdateId) -> UpdateInfo {
        let update = self.adu.store.get(id);
        UpdateInfo {
            update_id: id.clone(),
            description: update.and_then(|update| update.import_manifest().description.clone()),
            friendly_name: update.and_then(|update| update.friendly_name()).map(str::to_owned),
        }
    }

    /// How far a deployment is: counts of its devices.
    ///
    /// # Errors
    /// [`DeployError::NoDeployment`].
    pub fn deployment_status(&self, id: &DeploymentId) -> Result<DeploymentStatus, DeployError> {
        let run = self.run(id)?;
        let deployment_state = match run.head.status {
            Status::Active => "Active",
            Status::Cancelled => "Canceled",
            Status::Replaced(_) => "Inactive",
        };
        let group_id = match &run.head.target {
            Target::Group(name) => Some(name.clone()),
            Target::Device(_) => None,
        };
        let subgroups = run.classes().map(|(class, counts)| SubgroupStatus {
            group_id: group_id.clone(),
            device_class_id: class.to_owned(),
            deployment_state,
            counts,
        });
        Ok(DeploymentStatus {
            target: run.head.target.clone(),
            deployment_state,
            started: run.head.started,
            counts: run.counts(),
            subgroup_status: subgroups.collect(),
        })
    }

    /// Devices that got a deployment, by id.
    pub fn deployment_devices(&self, id: &DeploymentId) -> impl Iterator<Item = (&str, &DeviceWork)> {
        let run = self.adu.runs.get(id);
        run.into_iter().flat_map(|run| run.work.iter().map(|(device, work)| (device.as_str(), work)))
    }

    /// How far a device is with a deployment, and why; also for a device that does not get it.
    ///
    /// # Errors
    /// [`DeployError::NoDeployment`].
    pub fn deployment_device(&self, id: &DeploymentId, device: &str) -> Result<DeploymentDeviceState, DeployError> {
        let run = self.run(id)?;
        let work = run.work.get(device);
        let judgement = match work {
            Some(work) => update::judge(&run.head, work, device, self.hub.device(device)),
            None => self.explain_absence(&run.head, device),
        };
        Ok(DeploymentDeviceState {
            device_id: device.to_owned(),
            workflow_id: work.map(|work| work.workflow.clone()),
            retry_count: work.map_or(0, |work| work.retry_count),
            moved_on_to_new_deployment: work.is_some_and(|work| work.moved_on),
            judgement,
        })
    }

    fn explain_absence(&self, head: &Deployment, device: &str) -> Judgement {
        let Some(found) = self.hub.device(device) else {
            let why = format!("the device `{device}` does not exist; enrol it, or let it register");
            return Judgement::new(State::InProgress, Reason::NoDevice, why);
        };
        let place = self.adu.fleet.members.get(device).and_then(|member| member.place.as_ref());
        let other = update::other_group(&head.target, device, place.map(|(group, _)| group.as_str()));
        let unfit = || self.adu.store.get(&head.update).and_then(|update| update::compatible(found, update).err());
        let later = || {
            let wanted = self.adu.wanted(device).filter(|wanted| *wanted != head.id);
            wanted.map(|wanted| format!("the later deployment {wanted} is for it as well"))
        };
        let why = other.or_else(unfit).or_else(later).unwrap_or_else(|| "it has just become one of its devices".into());
        update::not_offered(head, device, why)
    }

    /// Where a deployment stands and why, by what its device reports; for a deployment to a group, by the counts.
    ///
    /// # Errors
    /// [`DeployError::NoDeployment`].
    pub fn judge(&self, id: &DeploymentId) -> Result<Judgement, DeployError> {
        let run = self.run(id)?;
        if let Target::Device(device) = &run.head.target {
            return Ok(self.deployment_device(id, device)?.judgement);
        }
        let counts = run.counts();
        let (total, failed) = (counts.total_devices, counts.devices_completed_failed_count);
        let why = format!(
            "of {total} devices {} are in progress, {} have succeeded, {failed} have failed, {} are cancelled",
            counts.devices_in_progress_count, counts.devices_completed_succeeded_count, counts.devices_canceled_count
        );
        let (state, reason) = match &run.head.status {
            Status::Cancelled => (State::Cancelled, Reason::Cancelled),
            Status::Replaced(_) => (State::Cancelled, Reason::Replaced),
            Status::Active if !run.head.started => (State::InProgress, Reason::NotStarted),
            Status::Active if counts.devices_in_progress_count > 0 || total == 0 => {
                (State::InProgress, Reason::Working)
            }
            Status::Active if failed > 0 => (State::Failed, Reason::AgentFailed),
            Status::Active => (State::Succeeded, Reason::Succeeded),
        };
        Ok(Judgement::new(state, reason, why))
    }
}
