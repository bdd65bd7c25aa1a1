//! A server's packets, through a codec that is not ours.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use mqttrs2::{Connack, ConnectReturnCode, Packet, Pid, Publish, QoS, QosPid, Suback, SubscribeReturnCodes};

pub fn encode(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = vec![0; 20_000];
    let len = mqttrs2::encode_slice(packet, &mut bytes).unwrap();
    bytes.truncate(len);
    bytes
}

#[track_caller]
pub fn decode(bytes: &[u8]) -> Packet<'_> {
    let (len, packet) = mqttrs2::decode_slice_with_len(bytes).unwrap().expect("a whole packet");
    assert_eq!(len, bytes.len());
    packet
}

pub fn connack(code: u8) -> Packet<'static> {
    let code = match code {
        0 => ConnectReturnCode::Accepted,
        1 => ConnectReturnCode::RefusedProtocolVersion,
        2 => ConnectReturnCode::RefusedIdentifierRejected,
        3 => ConnectReturnCode::ServerUnavailable,
        4 => ConnectReturnCode::BadUsernamePassword,
        _ => ConnectReturnCode::NotAuthorized,
    };
    Connack { session_present: false, code }.into()
}

pub fn suback(pid: Pid, filters: usize, qos: u8) -> Packet<'static> {
    let qos = if qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
    Suback { pid, return_codes: vec![SubscribeReturnCodes::Success(qos); filters] }.into()
}

pub fn message<'a>(topic_name: &'a str, payload: &'a [u8]) -> Packet<'a> {
    Publish { dup: false, qospid: QosPid::AtMostOnce, retain: false, topic_name, payload }.into()
}
