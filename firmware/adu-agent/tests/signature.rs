//! Genuine deployments of the service, and forged ones.

mod common;

use std::fs;

use adu_agent::{Action, Agent, Boot, Code, Config, PRODUCTION_ROOTS, REPORT_LEN, RootKey, State};
use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use common::*;
use serde_json::{Value, json};

/// Feeds a twin to an agent with real cryptography and returns its report on it and whether it wants to download.
fn judge(config: Config<'static>, service: &Value) -> (Value, bool) {
    let mut agent = Agent::new(config, State::default(), Boot::Confirmed).unwrap();
    let twin = json!({"desired": patch(3, service), "reported": {"$version": 1}});
    agent.connected();
    agent.twin(&RealCrypto, &mut twin.to_string().into_bytes()).unwrap();
    let mut downloads = false;
    let mut last = Value::Null;
    loop {
        let mut out = [0; REPORT_LEN];
        match agent.poll(0, &mut out) {
            Action::None => return (last["deviceUpdate"].clone(), downloads),
            Action::Report(report) => {
                last = serde_json::from_str(report).unwrap();
                agent.report_answered(204, 0);
            }
            Action::Download => downloads = true,
            _ => {}
        }
    }
}

fn contoso(root_keys: &'static [RootKey<'static>]) -> Config<'static> {
    Config { manufacturer: "Contoso", model: "IoTDevice", root_keys, ..config("1.0.0") }
}

fn genuine() -> (String, String) {
    let jws = include_str!("vectors/iotdevice_v8.jws");
    (include_str!("vectors/iotdevice_v8.manifest.json").into(), jws.into())
}

fn deployment(manifest: &str, signature: &str) -> Value {
    json!({
        "workflow": {"action": 3, "id": "w1"},
        "updateManifest": manifest,
        "updateManifestSignature": signature,
        "fileUrls": {"f54c62cc342281d4c": "http://contoso.b.nlu.dl.adu.microsoft.com/westus2/fw.bin"},
    })
}

fn code_of(report: &Value) -> i64 {
    assert_eq!(report["agent"]["state"], 255, "{report}");
    assert_eq!(report["agent"]["lastInstallResult"]["resultCode"], 0);
    assert_eq!(report["service"]["ac"], 406);
    report["agent"]["lastInstallResult"]["extendedResultCode"].as_i64().unwrap()
}

#[track_caller]
fn assert_refused(config: Config<'static>, service: &Value, code: Code) {
    let (report, downloads) = judge(config, service);
    assert_eq!(code_of(&report), i64::from(code as i32), "{code:?}: {report}");
    assert!(!downloads);
}

#[test]
fn a_genuine_deployment_is_accepted_under_the_production_roots() {
    let (manifest, signature) = genuine();
    let (report, downloads) = judge(contoso(&[]), &deployment(&manifest, &signature));
    assert_eq!(report["agent"]["state"], 6, "{report}");
    assert_eq!(report["service"]["ac"], 200);
    assert!(downloads);
}

#[test]
fn other_roots_in_the_record_replace_the_production_roots() {
    let (manifest, signature) = genuine();
    assert_refused(contoso(ROOTS), &deployment(&manifest, &signature), Code::UnknownRootKey);
}

#[test]
fn a_root_key_of_the_right_name_with_another_modulus_is_no_use() {
    const WRONG: &[RootKey<'static>] = &[RootKey { kid: "ADU.200702.R", n: PRODUCTION_ROOTS[1].n, e: 65537 }];
    let (manifest, signature) = genuine();
    assert_refused(contoso(WRONG), &deployment(&manifest, &signature), Code::SigningKeySignature);
}

#[test]
fn each_changed_byte_of_a_genuine_manifest_is_noticed() {
    let (manifest, signature) = genuine();
    for at in (0..manifest.len()).step_by(37) {
        let mut changed = manifest.clone().into_bytes();
        changed[at] ^= 1;
        let changed = String::from_utf8(changed).unwrap();
        assert_refused(contoso(&[]), &deployment(&changed, &signature), Code::ManifestHash);
    }
}

#[test]
fn each_changed_character_of_a_genuine_signature_is_noticed() {
    let (manifest, signature) = genuine();
    for at in (0..signature.len()).step_by(97).chain(signature.len() - 8..signature.len()) {
        let mut changed = signature.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        let (report, downloads) = judge(contoso(&[]), &deployment(&manifest, &changed));
        assert!(!downloads, "character {at}");
        assert_ne!(code_of(&report), 0);
    }
}

#[test]
fn escapes_in_the_document_do_not_change_what_is_signed() {
    let (manifest, signature) = genuine();
    let escape = |text: &str| text.bytes().map(|byte| format!("\\u{byte:04x}")).collect::<String>();
    let text = format!(
        r#"{{"workflow":{{"action":3,"id":"w1"}},"updateManifest":"{}","updateManifestSignature":"{}","fileUrls":{{"f54c62cc342281d4c":"http:\/\/x\/y"}}}}"#,
        escape(&manifest),
        escape(&signature)
    );
    let twin = format!(r#"{{"desired":{{"deviceUpdate":{{"service":{text}}},"$version":3}}}}"#);
    let mut agent = Agent::new(contoso(&[]), State::default(), Boot::Confirmed).unwrap();
    agent.twin(&RealCrypto, &mut twin.into_bytes()).unwrap();
    assert_eq!(agent.download().unwrap().url, "http://x/y");
}

/// A deployment with a signature made of these parts by the tests' own keys.
fn forged(header: &Value, payload: &Value, signing_n: &[u8]) -> Value {
    let mut service = service("w1", "2.0.0");
    service["updateManifestSignature"] = jws(header, payload, signing_n).into();
    service
}

#[track_caller]
fn assert_forged(service: &Value, code: Code) {
    let mut device = Device::start("1.0.0", Boot::Confirmed);
    let done = device.connect(7, service);
    assert_eq!(code_of(report(&done)), i64::from(code as i32), "{code:?}");
    assert_eq!(device.agent.download(), None);
    assert!(!done.contains(&Done::Download { resume: false }));
    // It stays refused after a reset, and is not verified again and again.
    let mut device = Device::restart("1.0.0", Boot::Confirmed, &device.stored);
    let done = device.connect(7, service);
    assert_eq!(code_of(report(&done)), i64::from(code as i32));
}

fn good_header() -> Value {
    json!({"alg": "RS256", "sjwk": sjwk("ADU.TEST.R", &signing_jwk())})
}

fn good_payload() -> Value {
    let hash = adu_agent::Crypto::sha256(&FakeCrypto, manifest("2.0.0").to_string().as_bytes());
    json!({"sha256": Base64::encode_string(&hash)})
}

#[test]
fn the_tests_own_signatures_are_accepted_unless_something_is_wrong() {
    let mut device = Device::start("1.0.0", Boot::Confirmed);
    let done = device.connect(7, &forged(&good_header(), &good_payload(), &SIGNING_N));
    assert!(done.contains(&Done::Download { resume: false }));
}

#[test]
fn a_signature_by_another_key_is_refused() {
    assert_forged(&forged(&good_header(), &good_payload(), &[0x95; 384]), Code::Signature);
}

#[test]
fn a_signing_key_without_a_roots_signature_is_refused() {
    let own = jws(&json!({"alg": "RS256", "kid": "ADU.TEST.R"}), &signing_jwk(), &SIGNING_N);
    let header = json!({"alg": "RS256", "sjwk": own});
    assert_forged(&forged(&header, &good_payload(), &SIGNING_N), Code::SigningKeySignature);
    let header = json!({"alg": "RS256", "sjwk": sjwk("ADU.OTHER.R", &signing_jwk())});
    assert_forged(&forged(&header, &good_payload(), &SIGNING_N), Code::UnknownRootKey);
}

#[test]
fn no_algorithm_but_rs256_is_accepted() {
    for alg in [json!("none"), json!("HS256"), json!("RS384"), json!(null), json!("rs256")] {
        let mut header = good_header();
        header["alg"] = alg.clone();
        assert_forged(&forged(&header, &good_payload(), &SIGNING_N), Code::Algorithm);
        let inner = jws(&json!({"alg": alg, "kid": "ADU.TEST.R"}), &signing_jwk(), &ROOT_N);
        let header = json!({"alg": "RS256", "sjwk": inner});
        assert_forged(&forged(&header, &good_payload(), &SIGNING_N), Code::Algorithm);
        let mut jwk = signing_jwk();
        jwk["alg"] = alg;
        let header = json!({"alg": "RS256", "sjwk": sjwk("ADU.TEST.R", &jwk)});
        assert_forged(&forged(&header, &good_payload(), &SIGNING_N), Code::SigningKey);
    }
}

#[test]
fn weak_or_strange_signing_keys_are_refused() {
    for (member, value) in [
        ("kty", json!("EC")),
        ("e", json!("AQ")),
        ("e", json!("Aw")),
        ("n", json!(Base64UrlUnpadded::encode_string(&SIGNING_N[..256]))),
        ("n", json!(Base64UrlUnpadded::encode_string(&[0x92; 384]))),
        ("n", json!(Base64UrlUnpadded::encode_string(&[0x13; 384]))),
        ("n", json!("not base64!")),
        ("n", json!("")),
        ("n", json!(17)),
    ] {
        let mut jwk = signing_jwk();
        jwk[member] = value.clone();
        let header = json!({"alg": "RS256", "sjwk": sjwk("ADU.TEST.R", &jwk)});
        assert_forged(&forged(&header, &good_payload(), &SIGNING_N), Code::SigningKey);
    }
}

#[test]
fn a_modulus_may_be_in_either_alphabet() {
    // Genuine keys have plain base64 here, where RFC 7518 asks for base64url.
    let n = [0xFB; 384];
    for (text, zero) in [
        (Base64::encode_string(&n), false),
        (Base64UrlUnpadded::encode_string(&n), false),
        (Base64::encode_string(&[&[0][..], &n].concat()), true),
    ] {
        assert_eq!(text.contains('='), zero);
        let mut jwk = signing_jwk();
        jwk["n"] = text.into();
        let header = json!({"alg": "RS256", "sjwk": sjwk("ADU.TEST.R", &jwk)});
        let mut device = Device::start("1.0.0", Boot::Confirmed);
        let done = device.connect(7, &forged(&header, &good_payload(), &n));
        assert!(done.contains(&Done::Download { resume: false }));
    }
}

#[test]
fn a_modulus_with_a_leading_zero_is_the_same_modulus() {
    let mut jwk = signing_jwk();
    jwk["n"] = b64url([&[0][..], &SIGNING_N].concat()).into();
    let header = json!({"alg": "RS256", "sjwk": sjwk("ADU.TEST.R", &jwk)});
    let mut device = Device::start("1.0.0", Boot::Confirmed);
    let done = device.connect(7, &forged(&header, &good_payload(), &SIGNING_N));
    assert!(done.contains(&Done::Download { resume: false }));
}

#[test]
fn a_signature_over_another_manifest_is_refused() {
    let mut service = service("w1", "2.0.0");
    service["updateManifestSignature"] = sign(&manifest("2.0.1").to_string()).into();
    assert_forged(&service, Code::ManifestHash);
    let payload = json!({"sha256": "AAAA"});
    assert_forged(&forged(&good_header(), &payload, &SIGNING_N), Code::MalformedSignature);
}

#[test]
fn a_signature_has_three_parts() {
    let good = sign(&manifest("2.0.0").to_string());
    let (two, _) = good.rsplit_once('.').unwrap();
    for bad in [".", "..", two, &format!("{good}."), &format!("{good}.AAAA"), &good.replace('.', "!")] {
        let mut service = service("w1", "2.0.0");
        service["updateManifestSignature"] = bad.into();
        assert_forged(&service, Code::MalformedSignature);
    }
}

#[test]
fn missing_parts_have_their_codes() {
    for (member, code) in [
        ("updateManifest", Code::NoManifest),
        ("updateManifestSignature", Code::NoSignature),
        ("fileUrls", Code::NoFileUrl),
    ] {
        for value in [json!(null), json!(5), json!("")] {
            let mut service = service("w1", "2.0.0");
            service[member] = value;
            assert_forged(&service, code);
        }
    }
}

#[test]
fn only_plain_http_urls_are_downloaded() {
    for (url, code) in [
        (json!("https://files.example/fw.bin"), Code::BadFileUrl),
        (json!("ftp://files.example/fw.bin"), Code::BadFileUrl),
        (json!("http://user@files.example/fw.bin"), Code::BadFileUrl),
        (json!("http://files.example/fw.bin\r\nX: y"), Code::BadFileUrl),
        (json!(format!("http://files.example/{}", "x".repeat(500))), Code::BadFileUrl),
        (json!(null), Code::NoFileUrl),
    ] {
        let mut service = service("w1", "2.0.0");
        service["fileUrls"]["f0123456789abcdef"] = url;
        assert_forged(&service, code);
    }
}

// Vectors that are not part of this repository.

fn vector(name: &str) -> Option<(Option<String>, String)> {
    let dir = vectors()?.join(name);
    let signature = fs::read_to_string(dir.join("manifest.jws")).unwrap();
    Some((fs::read_to_string(dir.join("manifest.json")).ok(), signature))
}

#[test]
fn genuine_vectors_pass_the_signature_check() {
    for name in [
        "freertos_mw_jws_ut_esp32_v4",
        "linux_agent_virtual_vacuum_v20_ref_step_v4",
        "netxduo_ut_iotdevice_v8_v4",
        "netxduo_ut_iotdevice_v7_0_1_ref_step_v5",
    ] {
        let Some((Some(manifest), signature)) = vector(name) else { return };
        let (report, _) = judge(contoso(&[]), &deployment(&manifest, &signature));
        let code = report["agent"]["lastInstallResult"]["extendedResultCode"].as_i64().unwrap();
        // What follows the signature may still refuse them: steps, devices, URLs.
        assert!(code == 0 || code > Code::ManifestHash as i64, "{name}: {report}");
    }
}

#[test]
fn genuine_vectors_with_a_fault_are_refused() {
    for (name, code) in [
        ("linux_jws_ut_BAD_signature", Code::Signature),
        ("sdkc_ut_payload_manifest_scrubbed", Code::ManifestHash),
        ("linux_agent_old_manifest_TESTROOT_v1", Code::UnknownRootKey),
    ] {
        let Some((manifest, signature)) = vector(name) else { return };
        assert_refused(contoso(&[]), &deployment(&manifest.unwrap_or("{}".into()), &signature), code);
    }
}

#[test]
fn a_vector_under_the_test_root_passes_with_the_test_root() {
    let Some(dir) = vectors() else { return };
    let keys: Value = serde_json::from_slice(&fs::read(dir.join("root_keys.json")).unwrap()).unwrap();
    let n = keys["ADU.200702.R.T"]["n_b64url"].as_str().unwrap();
    let n: &'static [u8] = Base64UrlUnpadded::decode_vec(n).unwrap().leak();
    let roots: &'static [_] = vec![RootKey { kid: "ADU.200702.R.T", n, e: 65537 }].leak();
    let (manifest, signature) = vector("linux_agent_old_manifest_TESTROOT_v1").unwrap();
    // Signed, but of a manifest version that ended with the previews.
    assert_refused(contoso(roots), &deployment(&manifest.unwrap(), &signature), Code::ManifestVersion);
}

#[test]
fn the_compiled_in_roots_are_the_published_ones() {
    let Some(dir) = vectors() else { return };
    let keys: Value = serde_json::from_slice(&fs::read(dir.join("root_keys.json")).unwrap()).unwrap();
    for root in PRODUCTION_ROOTS {
        let key = &keys[root.kid];
        assert_eq!(key["kind"], "production");
        assert_eq!(b64url(root.n), key["n_b64url"].as_str().unwrap());
        assert_eq!(key["e"], root.e);
    }
}

#[test]
fn a_whole_genuine_patch_with_a_reference_step_is_refused_with_its_code() {
    let Some(dir) = vectors() else { return };
    let patch = fs::read(dir.join("netxduo_desired_g_adu_agent_new_update_3.json")).unwrap();
    let twin = format!(r#"{{"desired":{}}}"#, String::from_utf8(patch).unwrap());
    let mut agent = Agent::new(contoso(&[]), State::default(), Boot::Confirmed).unwrap();
    agent.twin(&RealCrypto, &mut twin.into_bytes()).unwrap();
    assert_eq!(agent.state().code(), Code::ReferenceStep);
    assert_eq!(agent.state().workflow_id(), "6b831565-bd1c-4b84-995a-f2ab4e6a4bb1");
}
