//! Root-key packages, rotation, and keys that are disabled.

mod support;

use hub::update::Forgery;
use hub::update::jws::{self, JwsError};
use hub::update::root_keys::{PackageError, RootKeyError, RootKeyPackage};
use hub::{Attestation, Cloud, CloudConfig, DeployError, DeployOptions, ImportManifest, UpdateId};
use serde_json::{Value, json};
use support::*;

fn net() -> Net {
    let mut net = Net::new(5);
    net.cloud.register_device("e54", Attestation::symmetric(KEY)).expect("a new device");
    let id = UpdateId { provider: "HIL".into(), name: "E54".into(), version: "2.0".into() };
    let manifest = ImportManifest::firmware(id, "HIL", "E54", "fw.bin", b"firmware", "2026-01-01T00:00:00Z");
    net.cloud.import_update(net.now, &manifest, &[("fw.bin", b"firmware")]).expect("imports");
    net
}

/// Deploys and yields the `service` object of the twin.
fn deploy(net: &mut Net, forgery: Option<Forgery>) -> Result<Value, DeployError> {
    let update = net.cloud.updates().next().expect("imported").id().clone();
    let options = DeployOptions { forgery, ignore_compatibility: true, ..DeployOptions::default() };
    net.cloud.deploy(net.now, "e54", &update, options)?;
    Ok(net.cloud.twin("e54").expect("exists").desired()["deviceUpdate"]["service"].clone())
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

#[test]
fn a_package_has_the_form_of_a_genuine_one_and_both_roots_sign_it() {
    let net = net();
    let package = net.cloud.root_key_package().expect("signs");
    let value = json(package.as_bytes());
    let members = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(members(&value), ["protected", "signatures"]);
    let protected = ["version", "published", "disabledRootKeys", "disabledSigningKeys", "rootKeys"];
    assert_eq!(members(&value["protected"]), protected);
    let key = &value["protected"]["rootKeys"]["ADU.HIL.R2"];
    assert_eq!((&key["keyType"], &key["e"], text(&key["n"]).len()), (&json!("RSA"), &json!(65537), 512));
    assert_eq!(members(&value["signatures"][1]), ["alg", "sig"]);
    let roots = net.cloud.config().keys.adu_roots().expect("roots");
    let accepted = RootKeyPackage::verify(&package, &roots).expect("signed");
    assert_eq!((accepted.version, accepted.published, accepted.root_keys), (1, EPOCH, roots.clone()));
    let spoilt = package.replace("\"version\":1", "\"version\":2");
    assert_eq!(RootKeyPackage::verify(&spoilt, &roots), Err(PackageError::Signature("ADU.HIL.R".into())));
}

#[test]
fn keys_are_rotated_and_disabled_step_by_step() {
    let mut net = net();
    let roots = net.cloud.config().keys.adu_roots().expect("roots");
    assert_eq!(deploy(&mut net, None).expect("deploys").get("rootKeyPackageUrl"), None, "not offered yet");
    assert_eq!(
        deploy(&mut net, Some(Forgery::DisabledRootKey)),
        Err(DeployError::Signing(RootKeyError::NoneDisabled { kind: "root key" }))
    );
    let in_use = net.cloud.set_root_key_disabled(net.now, "ADU.HIL.R", true);
    assert!(matches!(in_use, Err(RootKeyError::InUse { .. })), "{in_use:?}");
    let unknown = net.cloud.rotate_root_key(net.now, "ADU.HIL.R9").expect_err("no such key").to_string();
    assert_eq!(unknown, "there is no root key `ADU.HIL.R9`; there are `ADU.HIL.R`, `ADU.HIL.R2`");

    net.cloud.offer_root_keys(net.now, true, false).expect("signs");
    net.cloud.rotate_signing_key(net.now, "ADU.HIL.R2.S").expect("exists");
    let service = deploy(&mut net, None).expect("deploys");
    let verify = |service: &Value, roots: &[hub::RootKey]| {
        jws::verify(text(&service["updateManifestSignature"]), Some(text(&service["updateManifest"])), roots)
    };
    let verified = verify(&service, &roots[..1]).expect("the first root vouches for it");
    assert_eq!((verified.root_kid.as_str(), verified.signing_kid.as_str()), ("ADU.HIL.R", "ADU.HIL.R2.S"));

    net.cloud.rotate_root_key(net.now, "ADU.HIL.R2").expect("exists");
    net.cloud.set_root_key_disabled(net.now, "ADU.HIL.R", true).expect("not in use");
    net.cloud.set_signing_key_disabled(net.now, "ADU.HIL.R.S", true).expect("not in use");
    let refused = net.cloud.rotate_root_key(net.now, "ADU.HIL.R");
    assert!(matches!(refused, Err(RootKeyError::Disabled { .. })), "{refused:?}");
    let service = deploy(&mut net, None).expect("deploys");
    assert_eq!(verify(&service, &roots[..1]), Err(JwsError::Root("ADU.HIL.R2".into())), "the old root alone fails");

    // What a device that follows the package sees.
    let url = text(&service["rootKeyPackageUrl"]).to_owned();
    let mut wire = net.http();
    let (status, body) = get(&mut net, &mut wire, &url, None);
    assert_eq!(status, 200);
    let package = RootKeyPackage::verify(std::str::from_utf8(&body).expect("text"), &roots).expect("signed");
    assert_eq!((package.version, package.disabled_root_keys.as_slice()), (5, &["ADU.HIL.R".to_owned()][..]));
    let judge = |service: &Value| {
        package.verify_manifest(text(&service["updateManifestSignature"]), text(&service["updateManifest"]))
    };
    assert!(judge(&service).is_ok());
    let by_root = deploy(&mut net, Some(Forgery::DisabledRootKey)).expect("deploys");
    assert_eq!(judge(&by_root), Err(JwsError::Root("ADU.HIL.R".into())));
    let by_key = deploy(&mut net, Some(Forgery::DisabledSigningKey)).expect("deploys");
    assert_eq!(judge(&by_key), Err(JwsError::Disabled("ADU.HIL.R.S".into())));

    net.cloud.offer_root_keys(net.now, false, true).expect("signs");
    assert!(deploy(&mut net, None).expect("deploys").get("rootKeyPackageUrl").is_none(), "deleted from the twin");
    let package = RootKeyPackage::verify(&net.cloud.root_key_package().expect("signs"), &roots).expect("signed");
    assert!(package.is_test);
}

#[test]
fn the_state_of_the_keys_outlives_a_restart() {
    let mut net = net();
    net.cloud.offer_root_keys(net.now, true, false).expect("signs");
    net.cloud.rotate_root_key(net.now, "ADU.HIL.R2").expect("exists");
    let changes = net.cloud.take_changes();
    assert!(changes.iter().any(|change| change.key == "adu/rootkeys"), "{changes:?}");
    let mut again = Cloud::new(CloudConfig::new(5, EPOCH)).expect("the fixture keys work");
    again.restore(changes).expect("restores");
    assert_eq!(again.root_key_state(), net.cloud.root_key_state());
    assert_eq!(again.root_key_package(), net.cloud.root_key_package());
    assert_eq!(again.updates().collect::<Vec<_>>(), net.cloud.updates().collect::<Vec<_>>());
    let file = net.cloud.updates().next().expect("imported").files()[0].id.clone();
    assert_eq!(again.file_content(&file).map(|body| body.to_vec()), Some(b"firmware".to_vec()));
}
