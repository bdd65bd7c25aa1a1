//! The receive side of the codec.

mod common;

use common::*;
use iot_hub::hub::{Client, Config};
use iot_hub::mqtt::{Packet, PacketError, Receiver};
use mqttrs2::{Pid, QosPid};
use proptest::prelude::*;

fn feed(receiver: &mut Receiver<'_>, bytes: &[u8]) {
    receiver.space()[..bytes.len()].copy_from_slice(bytes);
    receiver.filled(bytes.len());
}

#[test]
fn packets_are_cut_from_a_stream_in_pieces_of_any_size() {
    let body = vec![b'x'; 300];
    let stream = [
        encode(&message("a/b", b"first")),
        encode(&message("a/c", &body)),
        encode(&mqttrs2::Packet::Pingresp),
        encode(&message("a/d", b"")),
    ]
    .concat();
    for piece in [1, 2, 3, 50, 320] {
        let mut buffer = [0; 320];
        let mut receiver = Receiver::new(&mut buffer);
        let mut seen = Vec::new();
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let len = receiver.space().len().min(piece).min(rest.len());
            feed(&mut receiver, &rest[..len]);
            rest = &rest[len..];
            while let Some(packet) = receiver.packet().unwrap() {
                seen.push(match packet {
                    Packet::Publish { topic, payload, .. } => format!("{topic} {}", payload.len()),
                    other => format!("{other:?}"),
                });
            }
        }
        assert_eq!(seen, ["a/b 5", "a/c 300", "Pingresp", "a/d 0"], "pieces of {piece}");
    }
}

#[test]
fn malformed_packets_are_refused() {
    for bytes in [
        &[0x40, 0][..],                        // PUBACK without packet id
        &[0x40, 2, 0, 0],                      // packet id zero
        &[0x20, 1, 0],                         // short CONNACK
        &[0x20, 2, 2, 0],                      // reserved flags
        &[0x21, 2, 0, 0],                      // wrong flags
        &[0x90, 2, 0, 1],                      // SUBACK without codes
        &[0x30, 1, 0],                         // PUBLISH without topic
        &[0x30, 3, 0, 2, b'a'],                // topic longer than the packet
        &[0x30, 3, 0, 1, 0xFF],                // topic not UTF-8
        &[0x32, 4, 0, 1, b'a', 0],             // QoS 1 without packet id
        &[0x34, 5, 0, 1, b'a', 0, 1],          // QoS 2
        &[0xD0, 1, 0],                         // PINGRESP with a body
        &[0x10, 0],                            // a client's packet
        &[0x00, 0],                            // reserved type
        &[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], // length of five bytes
    ] {
        let mut buffer = [0; 64];
        let mut receiver = Receiver::new(&mut buffer);
        feed(&mut receiver, bytes);
        assert_eq!(receiver.packet(), Err(PacketError::Malformed), "{bytes:?}");
    }
}

/// Why this crate has its own decoder. When this fails, the codec has been mended.
#[test]
fn the_other_codec_panics_on_a_packet_without_packet_id() {
    assert!(std::panic::catch_unwind(|| mqttrs2::decode_slice(&[0x40, 0]).is_ok()).is_err());
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind: u8, len in 0_u8..100) {
        for input in [bytes.clone(), [&[kind, len][..], &bytes].concat()] {
            let mut buffer = [0; 128];
            let mut receiver = Receiver::new(&mut buffer);
            let config = Config { host: "h", device_id: "d", model_id: None, product: "p", keep_alive_s: 10 };
            let mut client = Client::new(config);
            client.connect("x", 0, &mut [0; 256]).unwrap();
            let mut rest = &input[..];
            'stream: while !rest.is_empty() {
                let len = receiver.space().len().min(rest.len());
                prop_assert!(len > 0);
                feed(&mut receiver, &rest[..len]);
                rest = &rest[len..];
                loop {
                    match receiver.packet() {
                        Ok(None) => break,
                        Ok(Some(packet)) => drop(client.handle(packet)),
                        Err(_) => break 'stream,
                    }
                }
            }
        }
    }

    #[test]
    fn messages_decode_to_what_the_other_codec_encoded(
        topic in "[a-z/$]{1,50}", payload: Vec<u8>, id in 0_u16.., dup: bool, retain: bool,
    ) {
        let qospid = Pid::try_from(id).map_or(QosPid::AtMostOnce, QosPid::AtLeastOnce);
        let bytes = encode(&mqttrs2::Publish { dup, qospid, retain, topic_name: &topic, payload: &payload }.into());
        let mut buffer = [0; 4096];
        let mut receiver = Receiver::new(&mut buffer);
        feed(&mut receiver, &bytes);
        match receiver.packet() {
            Ok(Some(Packet::Publish { topic: t, payload: p, id: i })) => {
                prop_assert_eq!((t, &*p, i.unwrap_or(0)), (&topic[..], &payload[..], id));
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn payloads_of_any_length_are_encoded_as_the_other_codec_reads_them(len in 0_usize..18_000) {
        let config = Config { host: "h", device_id: "d", model_id: None, product: "p", keep_alive_s: 10 };
        let mut client = Client::new(config);
        let mut out = vec![0; 20_000];
        client.connect("x", 0, &mut out).unwrap();
        client.handle(Packet::Connack { session_present: false, code: 0 }).unwrap();
        client.poll(0, &mut out).unwrap();
        client.handle(Packet::Suback { id: 1, codes: &[1, 1, 1, 0] }).unwrap();
        let body = vec![7; len];
        let (sent, _) = client.telemetry("", &body, false, 0, &mut out).unwrap();
        match decode(&out[..sent]) {
            mqttrs2::Packet::Publish(publish) => prop_assert_eq!(publish.payload, &body[..]),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
