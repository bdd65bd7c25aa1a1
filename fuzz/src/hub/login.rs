//! User names, client ids and tokens.
//!
//! Input: a byte (kinds: [`SIGN`], [`GOOD`]), a byte (which device, and whose key), then three texts with their lengths
//! (16 bits): client id, user name, password. Where kinds ask for it the password is made: its text is then the token's
//! `sr`, and a fourth text its `se`.

use hub::EventKind;
use hub::iot_hub::Username;
use hub::sas::{SasError, Token};

use super::{DEVICES, EPOCH, KEY, cloud, connect, encode, signature, talk};
use crate::Input;

/// The token is signed with the device's key.
pub const SIGN: u8 = 1;
/// Client id and user name are those of a device.
pub const GOOD: u8 = 2;
/// The token is for this device, whatever the input says.
pub const SCOPED: u8 = 4;
/// It is a key that nobody has.
pub const FOREIGN: u8 = 8;

const HOST: &str = "hil-hub.azure-devices.net";

/// Parses, and connects.
///
/// # Panics
/// If somebody is let in whose token does not fit, or kept out although it does.
pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let kinds = input.byte();
    let device = DEVICES[usize::from(input.byte()) % DEVICES.len()];
    let mut text = || {
        let len = input.half().into();
        input.slice(len)
    };
    let (mut client_id, mut username) = (text().to_vec(), text().to_vec());
    if kinds & GOOD != 0 {
        client_id = device.as_bytes().to_vec();
        username = format!("{HOST}/{device}/?api-version=2021-04-12").into_bytes();
    }
    let key = if kinds & FOREIGN != 0 { [8; 32] } else { KEY };
    let mut password = text().to_vec();
    if kinds & (SIGN | SCOPED) != 0 {
        let resource =
            if kinds & SCOPED != 0 { scope(device) } else { String::from_utf8_lossy(&password).into_owned() };
        let expiry = String::from_utf8_lossy(text()).into_owned();
        let sig = encode(&signature(&resource, &expiry, &key));
        password = format!("SharedAccessSignature sr={resource}&sig={sig}&se={expiry}").into_bytes();
    }
    if let Ok(text) = str::from_utf8(&username) {
        check_username(text);
    }
    if let Ok(text) = str::from_utf8(&password) {
        check_token(text);
    }

    let bytes = connect(&client_id, &username, &password, kinds & 16 != 0, 60);
    let mut cloud = cloud();
    let answer = talk(&mut cloud, &bytes);
    let events = cloud.take_events();
    let entered = events.iter().find_map(|event| match &event.kind {
        EventKind::Connected { device, .. } => Some(device.clone()),
        _ => None,
    });
    if bytes.len() <= hub::mqtt::MAX_CONNECT {
        match &entered {
            Some(_) => assert_eq!(answer[..4], [0x20, 2, 0, 0]),
            // CONNACK with a code, or nothing for what is no CONNECT.
            None => assert!(answer.is_empty() || matches!(answer[..], [0x20, 2, 0, 1..=5]), "{answer:?}"),
        }
    }
    if let Some(id) = &entered {
        assert_eq!(id.as_bytes(), client_id, "let in under another name");
        assert!(fits(&password, &scope(id)), "let in with {:?}", String::from_utf8_lossy(&password));
    } else if kinds & GOOD != 0 && bytes.len() <= hub::mqtt::MAX_CONNECT {
        assert!(!fits(&password, &scope(device)), "kept out with {:?}", String::from_utf8_lossy(&password));
    }
}

/// What a device's token is for.
fn scope(id: &str) -> String {
    match id.split_once('/') {
        None => format!("{HOST}/devices/{id}"),
        Some((device, module)) => format!("{HOST}/devices/{device}/modules/{module}"),
    }
}

/// Whether a password is a token for `scope` in force at the start: field by field, each exactly once, and the signature
/// computed anew.
fn fits(password: &[u8], scope: &str) -> bool {
    let Some(fields) = str::from_utf8(password).ok().and_then(|text| text.strip_prefix("SharedAccessSignature "))
    else {
        return false;
    };
    let one = |name: &str| {
        let mut all = fields.split('&').filter_map(|pair| pair.split_once('=')).filter(|(known, _)| *known == name);
        let first = all.next().map(|(_, value)| value);
        first.filter(|_| all.next().is_none())
    };
    let (Some(sr), Some(sig), Some(se)) = (one("sr"), one("sig"), one("se")) else { return false };
    // An `skn` is allowed, once, and has to be readable.
    let skn = fields.split('&').filter(|pair| pair.starts_with("skn=")).count();
    let skn_reads = one("skn").is_none_or(|name| decode(name).is_some());
    skn <= 1
        && skn_reads
        && decode(sr).is_some_and(|sr| sr.trim_end_matches('/').eq_ignore_ascii_case(scope))
        && se.parse::<u64>().is_ok_and(|se| se > EPOCH)
        && decode(sig).is_some_and(|sig| sig == signature(sr, se, &KEY))
}

fn decode(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

fn check_username(text: &str) {
    let Ok(name) = Username::parse(text) else { return };
    assert!(!name.host.contains('/') && text.starts_with(&name.host));
    assert!((1..=2).contains(&name.id.split('/').count()) && !name.id.split('/').any(str::is_empty));
    assert!(name.api_version.len() >= 10);
    let mut again = format!("{}/{}/?api-version={}", name.host, name.id, encode(&name.api_version));
    for (field, value) in [("DeviceClientType", &name.client_type), ("model-id", &name.model_id)] {
        if let Some(value) = value {
            again += &format!("&{field}={}", encode(value));
        }
    }
    // A slash with a question mark belongs to neither part.
    if !name.host.contains("/?") && !name.id.contains("/?") {
        assert_eq!(Username::parse(&again).as_ref(), Ok(&name), "{again}");
    }
}

fn check_token(text: &str) {
    let Ok(token) = Token::parse(text) else { return };
    assert_eq!(token.raw_expiry.parse(), Ok(token.expiry));
    let wanted = token.resource.trim_end_matches('/');
    assert_eq!(
        token.verify(wanted, &[], 0),
        Err(if token.expiry == 0 { SasError::Expired(0) } else { SasError::Signature })
    );
    assert!(matches!(token.verify(&format!("{wanted}x"), &[&KEY], 0), Err(SasError::Scope { .. })));
    let made = [KEY, [8; 32]].into_iter().find(|key| token.verify(wanted, &[key], 0).is_ok());
    if let Some(key) = made {
        assert_eq!(token.verify(wanted, &[&[9; 32], &key], token.expiry - 1), Ok(()));
        assert_eq!(token.verify(wanted, &[&key], token.expiry), Err(SasError::Expired(0)));
        let mut other = key;
        other[31] ^= 1;
        assert_eq!(token.verify(wanted, &[&other], 0), Err(SasError::Signature));
    }
}
