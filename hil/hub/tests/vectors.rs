//! The verifier against genuine signatures, and the signer against the shape of genuine ones.
//!
//! The genuine manifests are Microsoft's and not part of this repository. `ADU_VECTORS` names a folder that has them; without
//! it, and without `../shared/vectors` beside the repository, the tests that need them say so and check nothing else.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hub::update::jws::{self, JwsError, Signer};
use hub::update::root_keys::{PackageError, RootKeyPackage};
use hub::{Keys, RootKey};
use serde_json::Value;

fn vectors() -> Option<PathBuf> {
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors"));
    let folder = std::env::var_os("ADU_VECTORS").map_or(beside, PathBuf::from);
    let found = folder.join("root_keys.json").exists();
    if !found {
        println!("skipped: no genuine manifests in {}", folder.display());
    }
    found.then_some(folder)
}

fn roots(folder: &std::path::Path, kind: &str) -> Vec<RootKey> {
    let text = std::fs::read_to_string(folder.join("root_keys.json")).expect("root keys");
    let keys: Value = serde_json::from_str(&text).expect("JSON");
    let keys = keys.as_object().expect("an object").iter().filter(|(_, key)| key["kind"] == kind);
    keys.map(|(kid, key)| RootKey {
        kid: kid.clone(),
        n: URL_SAFE_NO_PAD.decode(key["n_b64url"].as_str().expect("n")).expect("base64url"),
        e: 65537,
    })
    .collect()
}

/// Header, payload, SJWK header and JWK of a signature, decoded, and the lengths of its parts.
fn shape(jws: &str) -> (Vec<Value>, Vec<usize>) {
    let decode = |part: &str| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
    };
    let parts: Vec<&str> = jws.split('.').collect();
    let header = decode(parts[0]);
    let sjwk: Vec<&str> = header["sjwk"].as_str().expect("sjwk").split('.').collect();
    let lengths = parts.iter().chain(&sjwk).map(|part| part.len()).collect();
    (vec![header.clone(), decode(parts[1]), decode(sjwk[0]), decode(sjwk[1])], lengths)
}

#[test]
fn genuine_signatures_are_judged_as_they_deserve() {
    let Some(folder) = vectors() else { return };
    let mut judged = 0;
    for entry in std::fs::read_dir(&folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let Ok(signature) = std::fs::read_to_string(path.join("manifest.jws")) else { continue };
        let meta: Value =
            serde_json::from_str(&std::fs::read_to_string(path.join("meta.json")).expect("meta")).expect("JSON");
        let manifest = std::fs::read_to_string(path.join("manifest.json")).ok();
        let kind = meta["root_kind"].as_str().unwrap_or("production");
        let outcome = jws::verify(signature.trim(), manifest.as_deref(), &roots(&folder, kind));
        let name = path.display();
        if meta["jws_sig_valid_under_signing_key"] == true {
            let verified = outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(meta["root_kid"], verified.root_kid.as_str(), "{name}");
            assert_eq!(meta["signing_kid"], verified.signing_kid.as_str(), "{name}");
            let other = jws::verify(signature.trim(), Some("{}"), &roots(&folder, kind));
            assert_eq!(other, Err(JwsError::Hash), "{name}");
        } else {
            assert_eq!(outcome, Err(JwsError::Signature), "{name}");
        }
        judged += 1;
    }
    assert!(judged >= 5, "only {judged} genuine manifests in {}", folder.display());
}

#[test]
fn our_signatures_have_the_shape_and_the_lengths_of_genuine_ones() {
    // Key ids as long as the genuine `ADU.200702.R` and `ADU.210609.R.S`.
    let keys =
        Keys { adu_root_kid: "ADU.HIL001.R".into(), adu_signing_kid: "ADU.HIL001.R.S".into(), ..Keys::fixtures() };
    let ours = Signer::new(&keys).expect("keys").sign("{}").expect("signs");
    let (members, lengths) = shape(&ours);
    assert_eq!((ours.len(), members[0]["sjwk"].as_str().map(str::len)), (2405, Some(1336)));
    // Three parts of the JWS and three of the SJWK, as measured on the genuine ones.
    assert_eq!(lengths, [1815, 76, 512, 48, 774, 512]);
    let names = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&members[0]), ["alg", "sjwk"]);
    assert_eq!(names(&members[1]), ["sha256"]);
    assert_eq!(names(&members[2]), ["alg", "kid"]);
    assert_eq!(names(&members[3]), ["kty", "n", "e", "alg", "kid"]);
    if let Some(folder) = vectors() {
        let path = folder.join("netxduo_ut_iotdevice_v8_v4/manifest.jws");
        let genuine = std::fs::read_to_string(path).expect("the vector");
        let (theirs, their_lengths) = shape(genuine.trim());
        assert_eq!(their_lengths, lengths);
        for (ours, theirs) in members.iter().zip(&theirs) {
            assert_eq!(names(ours), names(theirs));
        }
    }
}

#[test]
fn only_the_fixture_root_verifies_what_the_fixture_keys_signed() {
    let keys = Keys::fixtures();
    let root = keys.adu_root().expect("the root");
    assert_eq!((root.n.len(), root.e), (384, 65537));
    let signer = Signer::new(&keys).expect("keys");
    let manifest = "{\"manifestVersion\":\"5\"}";
    let signature = signer.sign(manifest).expect("signs");
    let roots = [root];
    let verified = jws::verify(&signature, Some(manifest), &roots).expect("genuine");
    assert_eq!((verified.root_kid.as_str(), verified.signing_kid.as_str()), ("ADU.HIL.R", "ADU.HIL.R.S"));
    let public = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/keys/adu/signing.pub.der"));
    assert_eq!(verified.signing_key, public.expect("the fixture"));
    assert_eq!(jws::verify(&signature, Some("{}"), &roots), Err(JwsError::Hash));
    assert_eq!(jws::verify(&signature, Some(manifest), &[]), Err(JwsError::Root("ADU.HIL.R".into())));
    let forged = signer.forge_signature(manifest).expect("signs");
    assert_eq!(jws::verify(&forged, Some(manifest), &roots), Err(JwsError::Signature));
    let forged = signer.forge_signing_key(manifest).expect("signs");
    assert_eq!(jws::verify(&forged, Some(manifest), &roots), Err(JwsError::SigningKey));
    assert_eq!((signature.len(), forged.len()), (forged.len(), signature.len()));
}

#[test]
fn genuine_root_key_packages_are_judged_as_they_deserve() {
    let Some(folder) = vectors() else { return };
    let read = |name: &str| std::fs::read_to_string(folder.join("root_key_packages").join(name)).expect(name);
    let production: Vec<RootKey> =
        roots(&folder, "production").into_iter().filter(|root| root.kid.starts_with("ADU.20070")).collect();
    assert_eq!(production.len(), 2);
    let package = RootKeyPackage::verify(&read("testrootkeypkg.json"), &production).expect("both roots signed it");
    assert_eq!((package.version, package.published, package.root_keys.len()), (1, 1_675_972_876, 2));
    let valid = read("validrootkeypackage.json");
    let own: Value = serde_json::from_str(&valid).expect("JSON");
    let own = own["protected"]["rootKeys"].as_object().expect("keys").iter().map(|(kid, key)| RootKey {
        kid: kid.clone(),
        n: URL_SAFE_NO_PAD.decode(key["n"].as_str().expect("n")).expect("base64url"),
        e: 65537,
    });
    let own: Vec<RootKey> = own.collect();
    assert!(RootKeyPackage::verify(&valid, &own).is_ok());
    let refused = RootKeyPackage::verify(&valid, &production);
    assert_eq!(refused, Err(PackageError::Signature(production[0].kid.clone())));
    let refused = RootKeyPackage::verify(&read("invalidrootkeypackage.json"), &own);
    assert!(matches!(refused, Err(PackageError::Signature(_))), "{refused:?}");
}
