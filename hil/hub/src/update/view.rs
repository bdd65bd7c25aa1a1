//! Devices, groups and deployments as the service's API shows them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{Compliance, DeployOptions, DeviceCounts, Judgement, RollbackPolicy, State, Target, UpdateInfo};

/// What devices have in common for Device Update.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceClassView {
    /// 40 hexadecimal digits.
    pub device_class_id: String,
    /// By what devices belong to it.
    pub device_class_properties: DeviceClassProperties,
    /// The newest update that fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_compatible_update: Option<UpdateInfo>,
}

/// By what devices belong to a class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceClassProperties {
    /// What the agent speaks.
    pub contract_model: ContractModel,
    /// Properties that `compatPropertyNames` names.
    pub compat_properties: BTreeMap<String, String>,
}

/// What an agent speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ContractModel {
    /// E.g. `dtmi:azure:iot:deviceUpdateContractModel;2`.
    pub id: String,
    /// Its last segment.
    pub name: String,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupView {
    /// Value of the tag `ADUGroup`, or `$default`.
    pub group_id: String,
    /// `IoTHubTag` or `DefaultNoTag`.
    pub group_type: &'static str,
    /// When it was made.
    pub created_date_time: String,
    /// Devices.
    pub device_count: usize,
    /// Subgroups in which a device could be updated.
    pub subgroups_with_new_updates_available_count: usize,
    /// Subgroups in which a deployment is under way.
    pub subgroups_with_updates_in_progress_count: usize,
    /// Subgroups in which all devices are up to date.
    pub subgroups_with_on_latest_update_count: usize,
    /// Ids of active deployments that have started, oldest first.
    pub deployments: Vec<String>,
}

/// The devices of a class in a group.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubgroupView {
    /// The class.
    pub device_class_id: String,
    /// The group.
    pub group_id: String,
    /// When it was made.
    pub created_date_time: String,
    /// Devices.
    pub device_count: usize,
    /// The deployment that its devices get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<String>,
    /// The newest update that fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_compatible_update: Option<UpdateInfo>,
    /// How far its devices are up to date.
    pub compliance: Compliance,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceView {
    /// Device id.
    pub device_id: String,
    /// Its class; absent while an agent check fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_class_id: Option<String>,
    /// Its group; absent while an agent check fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// What its latest deployment brings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_attempted_update: Option<UpdateInfo>,
    /// How far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_status: Option<State>,
    /// What it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub installed_update: Option<UpdateInfo>,
    /// Whether there is nothing newer.
    pub on_latest_update: bool,
    /// Its latest deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_deployment_id: Option<String>,
    /// `lastInstallResult` as reported.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub last_install_result: Value,
}

/// A deployment.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentView {
    /// Its id.
    pub deployment_id: String,
    /// `groupId` or `deviceId`.
    #[serde(flatten)]
    pub target: Target,
    /// When it starts or started.
    pub start_date_time: String,
    /// What it brings.
    pub update: UpdateInfo,
    /// Classes of the devices that got it.
    pub device_class_subgroups: Vec<String>,
    /// Whether it was cancelled.
    pub is_canceled: bool,
    /// Whether failed devices were asked to try again.
    pub is_retried: bool,
    /// When to give it up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback_policy: Option<RollbackPolicy>,
    /// Whether a rollback policy made it.
    pub is_cloud_initiated_rollback: bool,
    /// Faults that were asked for, and the like.
    pub options: DeployOptions,
}

/// How far a deployment is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentStatus {
    /// `groupId` or `deviceId`.
    #[serde(flatten)]
    pub target: Target,
    /// `Active`, `Inactive` (replaced) or `Canceled`.
    pub deployment_state: &'static str,
    /// Whether it has started.
    pub started: bool,
    /// All its devices.
    #[serde(flatten)]
    pub counts: DeviceCounts,
    /// Its devices by class.
    pub subgroup_status: Vec<SubgroupStatus>,
}

/// How far a deployment is in a subgroup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubgroupStatus {
    /// The group; absent for a deployment to one device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// The class.
    pub device_class_id: String,
    /// As the deployment's.
    pub deployment_state: &'static str,
    /// Its devices.
    #[serde(flatten)]
    pub counts: DeviceCounts,
}

/// How far a device is with a deployment.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentDeviceState {
    /// Device id.
    pub device_id: String,
    /// `workflow.id`; absent if it did not get the deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_id: Option<String>,
    /// How often it was asked to try again.
    pub retry_count: u32,
    /// Whether a later deployment was written for it.
    pub moved_on_to_new_deployment: bool,
    /// State, reason and results.
    #[serde(flatten)]
    pub judgement: Judgement,
}
