//! What Device Update shows of devices: health, classes, groups, compliance.

use super::Cloud;
use crate::update::{
    self, COMPONENT, Compliance, ContractModel, DEFAULT_GROUP, DeviceClassProperties, DeviceClassView, DeviceHealth,
    DeviceView, GroupView, SubgroupView,
};

impl Cloud {
    /// The agent check of a device: whether it can be updated, and if not, why.
    pub fn device_health(&self, id: &str) -> Option<DeviceHealth> {
        self.hub.device(id).map(update::health)
    }

    /// A device as Device Update's API shows it.
    pub fn managed_device(&self, id: &str) -> Option<DeviceView> {
        let device = self.hub.device(id)?;
        let member = self.adu.fleet.members.get(id).cloned().unwrap_or_default();
        let run = member.current.as_ref().and_then(|id| self.adu.runs.get(id));
        let work = run.and_then(|run| run.work.get(id));
        let (group_id, device_class_id) = member.place.unzip();
        let best = device_class_id.as_ref().and_then(|id| self.adu.fleet.classes.get(id)?.best.clone());
        let component = device.twin().reported().get(COMPONENT);
        let on_latest_update = match (&member.installed, &best) {
            (_, None) => device_class_id.is_some(),
            (installed, best) => installed == best,
        };
        Some(DeviceView {
            device_id: id.to_owned(),
            device_class_id,
            group_id,
            last_attempted_update: run.map(|run| self.update_info(&run.head.update)),
            deployment_status: work.map(|work| work.state),
            installed_update: member.installed.map(|id| self.update_info(&id)),
            on_latest_update,
            last_deployment_id: member.current.map(|id| id.to_string()),
            last_install_result: component
                .and_then(|component| component.pointer("/agent/lastInstallResult"))
                .cloned()
                .unwrap_or_default(),
        })
    }

    /// All device classes, by id.
    pub fn device_classes(&self) -> impl Iterator<Item = DeviceClassView> {
        self.adu.fleet.classes.iter().map(|(id, class)| {
            let contract = &class.key.contract;
            let name = contract.rsplit(':').next().and_then(|last| last.split(';').next()).unwrap_or_default();
            DeviceClassView {
                device_class_id: id.clone(),
                device_class_properties: DeviceClassProperties {
                    contract_model: ContractModel { id: contract.clone(), name: name.to_owned() },
                    compat_properties: class.key.properties.clone(),
                },
                best_compatible_update: class.best.as_ref().map(|id| self.update_info(id)),
            }
        })
    }

    /// Groups with devices or deployments, by id.
    pub fn groups(&self) -> impl Iterator<Item = GroupView> {
        self.adu.fleet.groups.keys().filter_map(|name| self.group(name))
    }

    /// A group.
    pub fn group(&self, name: &str) -> Option<GroupView> {
        let group = self.adu.fleet.groups.get(name)?;
        let each: Vec<Compliance> =
            group.subgroups.keys().map(|class| self.adu.fleet.compliance(Some(name), Some(class))).collect();
        let count = |test: fn(&Compliance) -> bool| each.iter().filter(|compliance| test(compliance)).count();
        Some(GroupView {
            group_id: name.to_owned(),
            group_type: if name == DEFAULT_GROUP { "DefaultNoTag" } else { "IoTHubTag" },
            created_date_time: self.utc.format(self.adu.fleet.birth(name)?),
            device_count: group.subgroups.values().map(|subgroup| subgroup.devices.len()).sum(),
            subgroups_with_new_updates_available_count: count(|c| c.new_updates_available_device_count > 0),
            subgroups_with_updates_in_progress_count: count(|c| c.updates_in_progress_device_count > 0),
            subgroups_with_on_latest_update_count: count(|c| c.on_latest_update_device_count == c.total_device_count),
            deployments: group.deployments.iter().map(ToString::to_string).collect(),
        })
    }

    /// The subgroups of a group, by class: its best updates and how far its devices are.
    pub fn subgroups<'a>(&'a self, name: &'a str) -> impl Iterator<Item = SubgroupView> + 'a {
        let group = self.adu.fleet.groups.get(name);
        group.into_iter().flat_map(|group| &group.subgroups).map(move |(class, subgroup)| {
            let best = self.adu.fleet.classes.get(class).and_then(|class| class.best.as_ref());
            SubgroupView {
                device_class_id: class.clone(),
                group_id: name.to_owned(),
                created_date_time: self.utc.format(subgroup.created),
                device_count: subgroup.devices.len(),
                deployment_id: self.adu.effective(name, class).map(ToString::to_string),
                best_compatible_update: best.map(|id| self.update_info(id)),
                compliance: self.adu.fleet.compliance(Some(name), Some(class)),
            }
        })
    }

    /// The devices of a group, or of one class in it.
    pub fn group_devices<'a>(&'a self, name: &str, class: Option<&'a str>) -> impl Iterator<Item = &'a str> + 'a {
        let group = self.adu.fleet.groups.get(name);
        let subgroups = group.into_iter().flat_map(|group| &group.subgroups);
        let wanted = subgroups.filter(move |(id, _)| class.is_none_or(|class| class == *id));
        wanted.flat_map(|(_, subgroup)| subgroup.devices.iter().map(String::as_str))
    }

    /// How far devices are up to date: those of a group, or all.
    pub fn compliance(&self, group: Option<&str>) -> Compliance {
        self.adu.fleet.compliance(group, None)
    }
}
