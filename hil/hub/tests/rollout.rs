//! A fleet gets its updates in stages: from the operator's deployment to what every device runs in the end.

#[path = "support/devices.rs"]
mod devices;
mod support;

use std::time::Duration;

use adu_agent::Code;
use devices::{Device, Fault, Fleet};
use hub::update::{DeviceCounts, RollbackFailure, RollbackPolicy, UpdateInfo};
use hub::{DeployOptions, Deployment, DeploymentId, NewDeployment, Reason, State, Target, UpdateId};

const MINUTE: Duration = Duration::from_secs(60);
const STAGES: [(&str, usize); 3] = [("canary", 100), ("early", 400), ("everyone", 1500)];
/// One device in so many comes through the provisioning service.
const DPS_ONE_IN: usize = 20;

/// `ROLLOUT_SEED` repeats a run; the seed is printed, and shown if the test fails.
fn seed() -> u64 {
    let seed = std::env::var("ROLLOUT_SEED").map_or(54, |seed| seed.parse().expect("ROLLOUT_SEED is a number"));
    println!("ROLLOUT_SEED={seed}");
    seed
}

fn deploy(
    fleet: &mut Fleet,
    id: &str,
    group: &str,
    update: &UpdateId,
    rollback: Option<RollbackPolicy>,
) -> DeploymentId {
    let new = NewDeployment {
        id: Some(DeploymentId::new(id).expect("an id")),
        target: Target::Group(group.into()),
        update: update.clone(),
        start: None,
        rollback,
        options: DeployOptions::default(),
    };
    fleet.world.cloud.create_deployment(fleet.world.now, new).expect("deploys")
}

fn counts(fleet: &Fleet, id: &DeploymentId) -> DeviceCounts {
    fleet.world.cloud.deployment_status(id).expect("known").counts
}

fn is_open(fleet: &Fleet, id: &DeploymentId) -> bool {
    fleet.world.cloud.judge(id).expect("known").state == State::InProgress
}

/// Number of the desired properties' version: it rises with all that is written to the device.
fn desired_version(fleet: &Fleet, device: &Device) -> u64 {
    fleet.world.cloud.twin(device.id).expect("exists").desired_version()
}

/// Deploys to one group and waits until it has succeeded, by the hub's word; then asks hub and devices one by one.
fn stage(fleet: &mut Fleet, group: &'static str, update: &UpdateId) {
    let id = deploy(fleet, &format!("{group}-{}", update.version), group, update, None);
    let total = fleet.group(group).count();
    let begun = counts(fleet, &id);
    assert_eq!((begun.total_devices, begun.devices_in_progress_count), (total, total));
    fleet.run_while(60 * MINUTE, |fleet| is_open(fleet, &id));
    assert_eq!(fleet.world.cloud.judge(&id).expect("known").state, State::Succeeded);
    all_succeeded(fleet, group, &id, update);
}

fn all_succeeded(fleet: &Fleet, group: &str, id: &DeploymentId, update: &UpdateId) {
    let total = fleet.group(group).count();
    let expected =
        DeviceCounts { total_devices: total, devices_completed_succeeded_count: total, ..DeviceCounts::default() };
    assert_eq!(counts(fleet, id), expected);
    for device in fleet.group(group) {
        assert_eq!(device.version, update.version, "{} runs something else", device.id);
        let state = fleet.world.cloud.deployment_device(id, device.id).expect("known").judgement;
        assert_eq!((state.state, state.reason), (State::Succeeded, Reason::Succeeded), "{}: {}", device.id, state.why);
        let view = fleet.world.cloud.managed_device(device.id).expect("exists");
        assert_eq!(view.installed_update.map(|info| info.update_id).as_ref(), Some(update), "{}", device.id);
        assert_eq!(view.group_id.as_deref(), Some(group));
    }
}

/// A fleet that is connected and has reported itself.
fn connected(seed: u64, stages: &[(&'static str, usize)]) -> Fleet {
    let mut fleet = Fleet::new(seed, stages, "1.0.0", DPS_ONE_IN);
    fleet.pass(3 * MINUTE);
    for (group, count) in stages {
        assert_eq!(fleet.world.cloud.group(group).expect("has devices").device_count, *count);
    }
    fleet
}

fn code(fault: Fault) -> Code {
    match fault {
        Fault::Flash => Code::DownloadHash,
        Fault::Handover => Code::InstallStorage,
        Fault::Refusal => Code::ImageRefused,
        Fault::Crash => Code::RolledBack,
    }
}

/// Deploys something that a part of the group cannot take; the policy strikes, and everything is as before. Yields the
/// counts of the moment when it struck.
fn spoiled_stage(
    fleet: &mut Fleet,
    group: &'static str,
    bad: &UpdateId,
    good: &UpdateId,
    percentage: u8,
) -> DeviceCounts {
    let policy = RollbackPolicy {
        update: UpdateInfo { update_id: good.clone(), description: None, friendly_name: None },
        failure: RollbackFailure { devices_failed_percentage: percentage, devices_failed_count: 3 },
    };
    let id = deploy(fleet, &format!("{group}-{}", bad.version), group, bad, Some(policy));
    let is_rollback = |other: &&Deployment| other.is_cloud_initiated_rollback;
    fleet.run_while(60 * MINUTE, |fleet| fleet.world.cloud.deployments().find(is_rollback).is_none());

    // At the moment when it struck: not one failure too early or too late, and every failure has its own reason.
    let rollback = fleet.world.cloud.deployments().find(is_rollback).expect("just seen").clone();
    assert_eq!((&rollback.update, &rollback.target), (good, &Target::Group(group.into())));
    let struck = counts(fleet, &id);
    let (total, failed) = (struck.total_devices, struck.devices_completed_failed_count);
    assert_eq!(failed, (total * usize::from(percentage)).div_ceil(100).max(3), "{struck:?}");
    assert_eq!(struck.devices_in_progress_count, 0, "the rest is cancelled or done: {struck:?}");
    assert_eq!(failed + struck.devices_completed_succeeded_count + struck.devices_canceled_count, total, "{struck:?}");
    let mut seen = DeviceCounts::default();
    for device in fleet.group(group) {
        let state = fleet.world.cloud.deployment_device(&id, device.id).expect("known");
        assert!(state.moved_on_to_new_deployment, "{}", device.id);
        let judgement = state.judgement;
        match judgement.state {
            State::Failed => {
                seen.devices_completed_failed_count += 1;
                let fault = device.fault.unwrap_or_else(|| panic!("{} is healthy: {}", device.id, judgement.why));
                assert_eq!(judgement.reason, Reason::AgentFailed, "{}: {}", device.id, judgement.why);
                let extended = (code(fault) as i32).to_string();
                assert_eq!(judgement.extended_result, Some(extended), "{}: {}", device.id, judgement.why);
                assert_eq!(device.version, good.version);
            }
            State::Succeeded => {
                seen.devices_completed_succeeded_count += 1;
                assert_eq!((device.fault, device.version), (None, bad.version.as_str()), "{}", device.id);
            }
            State::Cancelled => {
                seen.devices_canceled_count += 1;
                assert_eq!(judgement.reason, Reason::Replaced, "{}: {}", device.id, judgement.why);
            }
            State::InProgress => panic!("{}: {}", device.id, judgement.why),
        }
    }
    assert_eq!(DeviceCounts { total_devices: total, ..seen }, struck);

    fleet.run_while(60 * MINUTE, |fleet| is_open(fleet, &rollback.id));
    fleet.pass(10 * MINUTE);
    all_succeeded(fleet, group, &rollback.id, good);
    assert_eq!(counts(fleet, &id), struck, "what is over does not change any more");
    let status = fleet.world.cloud.deployment_status(&id).expect("known");
    assert_eq!(status.deployment_state, "Inactive");
    struck
}

#[test]
fn two_thousand_devices_are_updated_in_stages_and_one_stage_is_rolled_back() {
    let mut fleet = connected(seed(), &STAGES);
    let devices = fleet.devices.len();
    assert_eq!((devices, fleet.world.counts.provisioned), (2000, 2000 / DPS_ONE_IN));

    let second = fleet.import("2.0.0");
    for (done, (group, _)) in STAGES.iter().enumerate() {
        stage(&mut fleet, group, &second);
        for (later, _) in &STAGES[done + 1..] {
            assert!(fleet.group(later).all(|device| device.version == "1.0.0" && desired_version(&fleet, device) == 1));
        }
    }
    let counts = fleet.world.counts;
    assert_eq!((counts.good_files, counts.bad_files, counts.installed), (devices, 0, devices));
    assert!(counts.power_cuts > 0, "downloads are resumed, too");
    println!("rollout of 2.0.0: {devices} devices, {} of virtual time, {counts:?}", minutes(&fleet));

    let third = fleet.import("3.0.0");
    stage(&mut fleet, "canary", &third);
    let written: Vec<u64> = fleet.group("everyone").map(|device| desired_version(&fleet, device)).collect();
    // A twelfth fails, a twentieth is enough.
    fleet.spoil("early", 400 / 12);
    let struck = spoiled_stage(&mut fleet, "early", &third, &second, 5);
    let after: Vec<u64> = fleet.group("everyone").map(|device| desired_version(&fleet, device)).collect();
    assert_eq!(after, written, "a stage that was never reached is left alone");
    assert!(fleet.group("everyone").all(|device| device.version == "2.0.0"));
    assert!(fleet.group("canary").all(|device| device.version == "3.0.0"));
    let counts = fleet.world.counts;
    // The policy strikes while devices are in every phase: some had the new version, some were downloading it.
    assert!(counts.bad_files > 0 && counts.replaced_downloads > 0, "{counts:?}");
    assert!(struck.devices_completed_succeeded_count > 0 && struck.devices_canceled_count > 0, "{struck:?}");
    println!("when the rollback struck: {struck:?}");
    println!("rollback to 2.0.0: {devices} devices, {} of virtual time, {counts:?}", minutes(&fleet));
}

fn minutes(fleet: &Fleet) -> String {
    format!("{} min", fleet.world.now.as_millis() / 60_000)
}

#[test]
fn one_seed_gives_one_rollout() {
    let seed = seed();
    let run = |seed| {
        let mut fleet = connected(seed, &[("canary", 20), ("early", 60)]);
        let (second, third) = (fleet.import("2.0.0"), fleet.import("3.0.0"));
        stage(&mut fleet, "canary", &second);
        stage(&mut fleet, "early", &second);
        fleet.spoil("early", 8);
        spoiled_stage(&mut fleet, "early", &third, &second, 5);
        (fleet.trace(), fleet.world.now, fleet.world.counts)
    };
    let first = run(seed);
    assert_eq!(run(seed), first);
    assert_ne!(run(seed + 1).0, first.0);
}
