//! The rules of the workflow.

mod common;

use adu_agent::{Boot, Code, DownloadError, Phase, State};
use common::*;
use serde_json::{Value, json};

const OK: (i64, i64, i64) = (0, 700, 0);

fn failed(code: Code) -> (i64, i64, i64, String) {
    (255, 0, i64::from(code as i32), "w1".into())
}

#[test]
fn startup_reports_what_the_device_is_and_no_version() {
    let mut device = Device::start("1.0.0", Boot::Confirmed);
    assert_eq!(device.run(), [], "nothing to say without a connection");
    device.agent.connected();
    let done = device.run();
    assert_eq!(
        done,
        [
            Done::Report(json!({"deviceUpdate": {"__t": "c", "agent": {
                "deviceProperties": {
                    "manufacturer": "ACME", "model": "E54",
                    "contractModelId": "dtmi:azure:iot:deviceUpdateContractModel;2",
                    "aduVer": "test;agent/0.1.0",
                },
                "compatPropertyNames": "manufacturer,model",
            }}})),
            Done::ReadTwin,
        ]
    );
}

#[test]
fn a_deployment_is_persisted_reported_downloaded_and_installed() {
    let mut device = Device::start("1.0.0", Boot::Confirmed);
    let done = device.connect(7, &service("w1", "2.0.0"));
    assert_eq!(done[0], Done::Persist);
    assert_eq!(
        done[1],
        Done::Report(json!({"deviceUpdate": {"__t": "c",
            "agent": {
                "state": 6,
                "workflow": {"action": 3, "id": "w1", "retryTimestamp": null},
                "installedUpdateId": null,
                "lastInstallResult": {"resultCode": 400, "extendedResultCode": 0, "resultDetails": "", "stepResults": null},
            },
            "service": {"ac": 200, "av": 7, "ad": "", "value": {}},
        }}))
    );
    assert_eq!(done[2..], [Done::Download { resume: false }]);
    let download = device.agent.download().unwrap();
    assert_eq!(download.url, URL);
    assert_eq!(download.size, 262_144);
    assert_eq!(download.version, "2.0.0");
    assert_eq!(download.workflow_id, "w1");

    device.agent.download_finished(Ok(()));
    assert_eq!(device.run(), [Done::Persist, Done::Install]);
    assert_eq!(device.agent.state().phase(), Phase::Installing);
}

/// Brings a device to the reset of an installation and returns what it stored.
fn installing() -> Vec<u8> {
    let mut device = Device::start("1.0.0", Boot::Confirmed);
    device.connect(7, &service("w1", "2.0.0"));
    device.agent.download_finished(Ok(()));
    device.run();
    device.stored
}

#[test]
fn success_is_reported_after_the_image_has_confirmed_itself() {
    let mut device = Device::restart("2.0.0", Boot::Trial, &installing());
    let done = device.connect(7, &service("w1", "2.0.0"));
    // The acknowledgement is due; the outcome is not known before the confirmation.
    assert_eq!(report(&done).get("agent"), None);
    assert_eq!(done.last(), Some(&Done::Confirm));
    device.agent.confirm_finished(true);
    let done = device.run();
    assert_eq!(done[0], Done::Persist);
    assert_eq!(
        report(&done)["agent"],
        json!({
            "state": 0,
            "workflow": {"action": 3, "id": "w1", "retryTimestamp": null},
            "installedUpdateId": r#"{"provider":"ACME","name":"fw","version":"2.0.0"}"#,
            "lastInstallResult": {
                "resultCode": 700, "extendedResultCode": 0, "resultDetails": "",
                "stepResults": {"step_0": {"resultCode": 700, "extendedResultCode": 0, "resultDetails": ""}},
            },
        })
    );
}

#[test]
fn an_image_on_trial_is_not_confirmed_before_the_hub_has_heard_it() {
    let mut device = Device::restart("2.0.0", Boot::Trial, &installing());
    device.answers = 503;
    device.agent.connected();
    device.run();
    let done = device.twin(7, &service("w1", "2.0.0"));
    assert_eq!(done, [], "the startup report has not arrived");
    device.answers = 204;
    device.now_ms += 60_000;
    assert!(device.run().contains(&Done::Confirm));
}

#[test]
fn success_survives_a_power_cut_after_the_confirmation() {
    let mut device = Device::restart("2.0.0", Boot::Confirmed, &installing());
    let done = device.connect(7, &service("w1", "2.0.0"));
    assert_eq!(outcome(&done), (OK.0, OK.1, OK.2, "w1".into()));
}

#[test]
fn an_image_that_cannot_be_confirmed_is_a_failure() {
    let mut device = Device::restart("2.0.0", Boot::Trial, &installing());
    device.connect(7, &service("w1", "2.0.0"));
    device.agent.confirm_finished(false);
    assert_eq!(outcome(&device.run()), failed(Code::ConfirmFailed));
}

#[test]
fn an_image_with_another_version_than_announced_is_a_failure() {
    let mut device = Device::restart("2.0.1", Boot::Trial, &installing());
    device.connect(7, &service("w1", "2.0.0"));
    device.agent.confirm_finished(true);
    let done = device.run();
    assert_eq!(outcome(&done), failed(Code::OtherVersion));
    assert_eq!(report(&done)["agent"]["installedUpdateId"], Value::Null);
}

#[test]
fn a_rollback_is_reported_and_does_not_start_again() {
    let boot = Boot::RolledBack { cause: 2 };
    let mut device = Device::restart("1.0.0", boot, &installing());
    let done = device.connect(7, &service("w1", "2.0.0"));
    assert_eq!(outcome(&done), failed(Code::RolledBack));
    let result = &report(&done)["agent"]["lastInstallResult"];
    assert_eq!(result["resultDetails"], "bootloader cause 0x02");
    assert_eq!(result["stepResults"]["step_0"]["resultCode"], 0);

    let mut device = Device::restart("1.0.0", boot, &device.stored);
    let done = device.connect(7, &service("w1", "2.0.0"));
    assert_eq!(outcome(&done), failed(Code::RolledBack));
    assert_eq!(device.agent.download(), None);
}

#[test]
fn an_image_that_the_bootloader_refused_is_reported() {
    let mut device = Device::restart("1.0.0", Boot::Refused { cause: 4 }, &installing());
    let done = device.connect(7, &service("w1", "2.0.0"));
    assert_eq!(outcome(&done), failed(Code::ImageRefused));
}

#[test]
fn an_installation_that_never_happened_is_tried_three_times() {
    let mut stored = installing();
    for attempt in 1..3 {
        let mut device = Device::restart("1.0.0", Boot::Confirmed, &stored);
        let done = device.connect(7, &service("w1", "2.0.0"));
        assert!(done.contains(&Done::Download { resume: true }), "attempt {attempt}");
        device.agent.download_finished(Ok(()));
        device.run();
        stored = device.stored;
    }
    let mut device = Device::restart("1.0.0", Boot::Confirmed, &stored);
    let done = device.connect(7, &service("w1", "2.0.0"));
    assert_eq!(outcome(&done), failed(Code::NotInstalled));
}

#[test]
fn a_download_resumes_after_a_reset() {
    let mut device = Device::start("1.0.0", Boot::Confirmed);
    device.connect(7, &service("w1", "2.0.0"));
    let mut device = Device::restart("1.0.0", Boot::Confirmed, &device.stored);
    let done = device.connect(7, &service("w1", "2.0.0"));
    assert_eq!(done.last(), Some(&Done::Download { resume: true }));
}

#[test]
fn a_download_of_another_file_does_not_resume() {
    let mut device = Device::start("1.0.0", Boot::Confirmed);
    device.connect(7, &service("w1", "2.0.0"));
    let mut device = Device::restart("1.0.0", Boot::Confirmed, &device.stored);
    let done = device.connect(8, &service("w2", "3.0.0"));
    assert_eq!(done.last(), Some(&Done::Download { resume: false }));
}

#[test]
fn a_duplicate_delivery_does_not_restart_a_download() {
    let mut device = Device::start("1.0.0", Boot::Confirmed);
    device.connect(7, &service("w1", "2.0.0"));
    // A reconnect during the download, and the same document as a patch.
    let done = device.connect(7, &service("w1", "2.0.0"));
    assert_eq!(report(&done)["agent"]["state"], 6);
    let done = device.patch(8, &service("w1", "2.0.0"));
    assert_eq!(report(&done)["service"]["av"], 8);
    assert!(!done.contains(&Done::CancelDownload));
    assert!(device.agent.download().is_some());
}

#[test]
fn every_download_error_has_its_code() {
    for (error, code) in [
        (DownloadError::Network, Code::DownloadNetwork),
        (DownloadError::Refused, Code::DownloadRefused),
        (DownloadError::Size, Code::DownloadSize),
        (DownloadError::Hash, Code::DownloadHash),
        (DownloadError::Storage, Code::DownloadStorage),
    ] {
        let mut device = Device::start("1.0.0", Boot::Confirmed);
        device.connect(7, &service("w1", "2.0.0"));
        device.agent.download_finished(Err(error));
        let done = device.run();
        assert_eq!(done[0], Done::Persist);
        assert_eq!(outcome(&done), failed(code));
        assert!(!done.contains(&Done::Install));
    }
}

#[test]
fn a_file_that_cannot_be_handed_over_is_a_failure() {
    let mut device = Device::start("1.0.0", Boot::Confirmed);
    device.connect(7, &service("w1", "2.0.0"));
    device.agent.download_finished(Ok(()));
    device.run();
    device.agent.install_failed();
    assert_eq!(outcome(&device.run()), failed(Code::InstallStorage));
}

/// A device whose deployment `w1` has failed.
fn failed_device() -> Device {
    let mut device = Device::start("1.0.0", Boot::Confirmed);
    device.connect(7, &service("w1", "2.0.0"));
    device.agent.download_finished(Err(DownloadError::Hash));
    device.run();
    device
}

#[test]
fn failed_stays_failed_over_deliveries_and_resets() {
    let mut device = failed_device();
    let done = device.patch(8, &service("w1", "2.0.0"));
    assert_eq!(outcome(&done), failed(Code::DownloadHash));
    let mut device = Device::restart("1.0.0", Boot::Confirmed, &device.stored);
    let done = device.connect(8, &service("w1", "2.0.0"));
    assert_eq!(outcome(&done), failed(Code::DownloadHash));
    assert_eq!(device.agent.download(), None);
}

fn retry(id: &str, timestamp: &str) -> Value {
    let mut service = service(id, "2.0.0");
    service["workflow"]["retryTimestamp"] = timestamp.into();
    service
}

#[test]
fn a_retry_starts_from_scratch_once_per_timestamp() {
    let mut device = failed_device();
    let done = device.patch(8, &retry("w1", "2026-01-01T00:00:00Z"));
    assert_eq!(report(&done)["agent"]["state"], 6);
    assert_eq!(report(&done)["agent"]["workflow"]["retryTimestamp"], "2026-01-01T00:00:00Z");
    assert_eq!(done.last(), Some(&Done::Download { resume: false }));

    device.agent.download_finished(Err(DownloadError::Network));
    device.run();
    let done = device.patch(9, &retry("w1", "2026-01-01T00:00:00Z"));
    assert_eq!(outcome(&done), failed(Code::DownloadNetwork));
    // The timestamp going away is no new request.
    let done = device.patch(10, &service("w1", "2.0.0"));
    assert_eq!(outcome(&done), failed(Code::DownloadNetwork));
    let done = device.patch(11, &retry("w1", "2026-01-02T00:00:00Z"));
    assert_eq!(done.last(), Some(&Done::Download { resume: false }));
}

#[test]
fn a_retry_while_downloading_cancels_first_and_reads_the_twin_again() {
    let mut device = Device::start("1.0.0", Boot::Confirmed);
    device.connect(7, &service("w1", "2.0.0"));
    let done = device.patch(8, &retry("w1", "2026-01-01T00:00:00Z"));
    assert_eq!(done[0], Done::CancelDownload);
    assert_eq!(report(&done).get("agent"), None);
    device.agent.download_finished(Err(DownloadError::Cancelled));
    assert_eq!(device.run(), [Done::Persist, Done::ReadTwin]);
    let done = device.twin(8, &retry("w1", "2026-01-01T00:00:00Z"));
    assert_eq!(done.last(), Some(&Done::Download { resume: false }));
}

#[test]
fn another_deployment_replaces_a_running_one() {
    let mut device = Device::start("1.0.0", Boot::Confirmed);
    device.connect(7, &service("w1", "2.0.0"));
    let done = device.patch(8, &service("w2", "3.0.0"));
    assert_eq!(done[0], Done::CancelDownload);
    // Even a download that just completed is not installed any more.
    device.agent.download_finished(Ok(()));
    assert_eq!(device.run(), [Done::Persist, Done::ReadTwin]);
    let done = device.twin(8, &service("w2", "3.0.0"));
    assert_eq!(report(&done)["agent"]["workflow"]["id"], "w2");
    assert_eq!(device.agent.download().unwrap().version, "3.0.0");
}

#[test]
fn another_deployment_follows_a_failed_one_at_once() {
    let mut device = failed_device();
    let done = device.patch(8, &service("w2", "3.0.0"));
    assert_eq!(done.last(), Some(&Done::Download { resume: false }));
}

#[test]
fn a_deployment_during_a_trial_waits_for_the_confirmation() {
    let mut device = Device::restart("2.0.0", Boot::Trial, &installing());
    let done = device.connect(8, &service("w2", "3.0.0"));
    assert_eq!(done.last(), Some(&Done::Confirm));
    assert_eq!(device.agent.download(), None);
    device.agent.confirm_finished(true);
    assert!(device.run().contains(&Done::ReadTwin));
    let done = device.twin(8, &service("w2", "3.0.0"));
    assert_eq!(done.last(), Some(&Done::Download { resume: false }));
    assert_eq!(report(&done)["agent"]["installedUpdateId"], r#"{"provider":"ACME","name":"fw","version":"2.0.0"}"#);
}

#[test]
fn nothing_is_downloaded_on_trial_even_if_the_state_was_lost() {
    let mut device = Device::start("2.0.0", Boot::Trial);
    device.answers = 503;
    device.agent.connected();
    device.run();
    device.twin(8, &service("w2", "3.0.0"));
    assert_eq!(device.run(), []);
    device.answers = 204;
    device.now_ms += 60_000;
    assert!(!device.run().contains(&Done::Download { resume: false }));
    device.agent.confirm_finished(true);
    assert_eq!(device.run().last(), Some(&Done::Download { resume: false }));
}

#[test]
fn cancelling_a_download_ends_idle_with_minus_one() {
    let mut device = Device::start("1.0.0", Boot::Confirmed);
    device.connect(7, &service("w1", "2.0.0"));
    let done = device.patch(8, &no_deployment());
    assert_eq!(done[..2], [Done::CancelDownload, Done::Persist]);
    assert_eq!(report(&done).get("agent"), None, "not before it has stopped");
    device.agent.download_finished(Err(DownloadError::Cancelled));
    let done = device.run();
    assert_eq!(outcome(&done), (0, -1, 0, "nodeployment".into()));
    assert_eq!(report(&done)["agent"]["workflow"]["action"], 255);
    // A reset in between does not bring the deployment back.
    let mut device = Device::restart("1.0.0", Boot::Confirmed, &device.stored);
    device.connect(8, &no_deployment());
    assert_eq!(device.agent.download(), None);
}

#[test]
fn cancelling_by_the_deployments_own_id_works_too() {
    let mut device = Device::start("1.0.0", Boot::Confirmed);
    device.connect(7, &service("w1", "2.0.0"));
    let cancel = json!({"workflow": {"id": "w1", "action": 255}});
    assert!(device.patch(8, &cancel).contains(&Done::CancelDownload));
    device.agent.download_finished(Err(DownloadError::Cancelled));
    assert_eq!(outcome(&device.run()), (0, -1, 0, "w1".into()));
}

#[test]
fn a_cancelled_download_is_removed_also_after_a_reset() {
    let mut device = Device::start("1.0.0", Boot::Confirmed);
    device.connect(7, &service("w1", "2.0.0"));
    let mut device = Device::restart("1.0.0", Boot::Confirmed, &device.stored);
    let done = device.connect(8, &no_deployment());
    assert_eq!(done[0], Done::CancelDownload);
    device.agent.download_finished(Err(DownloadError::Cancelled));
    assert_eq!(outcome(&device.run()), (0, -1, 0, "nodeployment".into()));
}

#[test]
fn cancelling_a_failed_deployment_ends_idle() {
    let mut device = failed_device();
    let done = device.patch(8, &no_deployment());
    assert_eq!(report(&done)["agent"]["state"], 0);
    // And a second delivery changes nothing.
    let done = device.patch(9, &no_deployment());
    assert!(!done.contains(&Done::Persist));
    assert_eq!(report(&done)["agent"]["state"], 0);
}

#[test]
fn cancelling_an_installation_is_too_late() {
    let mut device = Device::start("1.0.0", Boot::Confirmed);
    device.connect(7, &service("w1", "2.0.0"));
    device.agent.download_finished(Ok(()));
    device.run();
    device.patch(8, &no_deployment());
    assert_eq!(device.agent.state().phase(), Phase::Installing);
}

#[test]
fn an_update_that_is_already_installed_is_reported_at_once() {
    let mut device = Device::start("2.0.0", Boot::Confirmed);
    let done = device.connect(7, &service("w1", "2.0.0"));
    assert_eq!(outcome(&done), (OK.0, OK.1, OK.2, "w1".into()));
    let agent = &report(&done)["agent"];
    assert_eq!(agent["installedUpdateId"], r#"{"provider":"ACME","name":"fw","version":"2.0.0"}"#);
    assert_eq!(agent["lastInstallResult"]["stepResults"]["step_0"]["resultCode"], 700);
    assert_eq!(device.agent.download(), None);
}

#[test]
fn without_installed_criteria_the_updates_version_decides() {
    let mut manifest = manifest("2.0.0");
    manifest["instructions"]["steps"][0]["handlerProperties"] = json!({});
    let mut device = Device::start("2.0.0", Boot::Confirmed);
    let done = device.connect(7, &service_of("w1", &manifest));
    assert_eq!(outcome(&done).1, 700);
}

#[test]
fn an_older_version_can_be_deployed() {
    let mut device = Device::start("2.0.0", Boot::Confirmed);
    let done = device.connect(7, &service("w1", "1.0.0"));
    assert_eq!(done.last(), Some(&Done::Download { resume: false }));
}

#[test]
fn the_installed_update_is_forgotten_when_another_version_runs() {
    let mut device = Device::start("2.0.0", Boot::Confirmed);
    device.connect(7, &service("w1", "2.0.0"));
    let mut device = Device::restart("1.5.0", Boot::Confirmed, &device.stored);
    let done = device.connect(8, &service("w2", "3.0.0"));
    assert_eq!(report(&done)["agent"]["installedUpdateId"], Value::Null);
}

#[test]
fn legacy_and_unknown_actions_start_nothing() {
    for (action, ac) in [(json!(0), 406), (json!(1), 406), (json!(2), 406), (json!(-1), 200), (json!("x"), 200)] {
        let mut device = Device::start("1.0.0", Boot::Confirmed);
        let mut service = service("w1", "2.0.0");
        service["workflow"]["action"] = action;
        let done = device.connect(7, &service);
        assert_eq!(
            done,
            [Done::Report(
                json!({"deviceUpdate": {"__t": "c", "service": {"ac": ac, "av": 7, "ad": "", "value": {}}}})
            )]
        );
    }
}

#[test]
fn a_workflow_that_cannot_be_echoed_is_refused() {
    for workflow in [json!(null), json!({"action": 3}), json!({"action": 3, "id": "x".repeat(49)})] {
        let mut device = Device::start("1.0.0", Boot::Confirmed);
        let done = device.connect(7, &json!({"workflow": workflow}));
        assert_eq!(report(&done)["service"]["ac"], 406);
    }
}

#[test]
fn stale_patches_are_ignored_and_missed_ones_lead_to_the_twin() {
    let mut device = Device::start("1.0.0", Boot::Confirmed);
    device.connect(7, &no_deployment());
    assert_eq!(device.patch(7, &service("w1", "2.0.0")), []);
    assert_eq!(device.patch(5, &service("w1", "2.0.0")), []);
    assert_eq!(device.patch(9, &service("w1", "2.0.0")), [Done::ReadTwin]);
    let done = device.twin(9, &service("w1", "2.0.0"));
    assert_eq!(done.last(), Some(&Done::Download { resume: false }));
    // The answer to an earlier GET comes late.
    assert_eq!(device.twin(8, &no_deployment()), []);
}

#[test]
fn a_patch_before_the_twin_is_not_acted_upon() {
    let mut device = Device::start("1.0.0", Boot::Confirmed);
    device.agent.connected();
    device.run();
    assert_eq!(device.patch(7, &service("w1", "2.0.0")), [Done::ReadTwin]);
}

#[test]
fn a_patch_with_only_a_new_workflow_leads_to_the_twin() {
    let mut device = failed_device();
    let workflow = json!({"workflow": {"action": 3, "id": "w1", "retryTimestamp": "2026-02-01"}});
    assert_eq!(device.patch(8, &workflow), [Done::ReadTwin]);
    let done = device.twin(8, &retry("w1", "2026-02-01"));
    assert_eq!(done.last(), Some(&Done::Download { resume: false }));
}

#[test]
fn unrelated_patches_say_nothing() {
    let mut device = Device::start("1.0.0", Boot::Confirmed);
    device.connect(7, &no_deployment());
    let mut unrelated = json!({"thermostat": {"targetTemperature": 3}, "$version": 8}).to_string().into_bytes();
    device.agent.desired_patch(&FakeCrypto, &mut unrelated).unwrap();
    assert_eq!(device.run(), []);
}

#[test]
fn reports_that_the_hub_was_too_busy_for_are_made_again() {
    let mut device = Device::start("1.0.0", Boot::Confirmed);
    device.agent.connected();
    device.run();
    device.answers = 429;
    let first = device.twin(7, &service("w1", "2.0.0"));
    device.answers = 204;
    assert_eq!(device.run(), [], "not at once");
    device.now_ms += 10_000;
    assert_eq!(report(&device.run()), report(&first));
    assert_eq!(device.run(), []);
}

#[test]
fn a_report_the_hub_calls_wrong_is_not_repeated_for_ever() {
    let mut device = Device::start("1.0.0", Boot::Confirmed);
    device.agent.connected();
    device.run();
    device.answers = 400;
    device.twin(7, &service("w1", "2.0.0"));
    device.now_ms += 1_000_000;
    assert_eq!(device.run(), []);
}

#[test]
fn an_unanswered_report_is_made_again() {
    let mut device = Device::start("1.0.0", Boot::Confirmed);
    device.agent.connected();
    let mut out = [0; adu_agent::REPORT_LEN];
    assert!(matches!(device.agent.poll(0, &mut out), adu_agent::Action::Report(_)));
    assert!(matches!(device.agent.poll(0, &mut out), adu_agent::Action::ReadTwin));
    assert!(matches!(device.agent.poll(59_999, &mut out), adu_agent::Action::None));
    assert!(matches!(device.agent.poll(60_000, &mut out), adu_agent::Action::Report(_)));
}

#[test]
fn an_outcome_that_was_not_heard_is_reported_in_the_next_session() {
    let mut device = Device::start("1.0.0", Boot::Confirmed);
    device.connect(7, &service("w1", "2.0.0"));
    device.agent.disconnected();
    device.agent.download_finished(Err(DownloadError::Hash));
    assert_eq!(device.run(), [Done::Persist]);
    let done = device.connect(7, &service("w1", "2.0.0"));
    assert_eq!(outcome(&done), failed(Code::DownloadHash));
}

#[test]
fn stored_state_round_trips_and_damage_is_noticed() {
    let bytes = installing();
    assert_eq!(bytes.len(), State::LEN);
    let state = State::from_bytes(&bytes).unwrap();
    assert_eq!(state.to_bytes()[..], bytes);
    assert_eq!(state.workflow_id(), "w1");
    assert_eq!(state.update_id().version.as_str(), "2.0.0");
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(State::from_bytes(&bad), None, "bit {bit}");
    }
    assert_eq!(State::from_bytes(&bytes[1..]), None);
    assert_eq!(State::from_bytes(&[]), None);
}
