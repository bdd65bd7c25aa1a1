//! The firmware's TLS client against the server: the chain of the fixtures, the suite, the empty client certificate.

mod support;

use std::convert::Infallible;

use device_tls::{Config, INBOUND_LEN, OUTBOUND_LEN, Platform, Reason, Session};
use embedded_io_async::{ErrorType, Read, Write};
use hub::{Attestation, ConnId, Endpoint, EventKind};
use support::*;

static PLATFORM: Platform = Platform {
    random: |bytes| {
        // A fixed pattern is a valid key; what matters here is that both sides understand each other.
        bytes.iter_mut().zip(1_u8..).for_each(|(byte, i)| *byte = i);
        Ok(())
    },
    unix_time: || Some(EPOCH),
};

/// A TLS port of the cloud as a transport; nothing in it ever waits.
struct Port<'n> {
    net: &'n mut Net,
    conn: ConnId,
    inbound: Vec<u8>,
}

impl ErrorType for Port<'_> {
    type Error = Infallible;
}

impl Read for Port<'_> {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, Infallible> {
        if self.inbound.is_empty() {
            self.inbound = self.net.cloud.transmit(self.net.now, self.conn);
        }
        let len = self.inbound.len().min(out.len());
        out[..len].copy_from_slice(&self.inbound[..len]);
        self.inbound.drain(..len);
        Ok(len)
    }
}

impl Write for Port<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.net.cloud.receive(self.net.now, self.conn, bytes);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Connects to the server as `host` and sends a CONNECT; yields the CONNACK.
fn connect(net: &mut Net, host: &str, root: &[u8]) -> Result<[u8; 4], Reason> {
    let config = Config::new(&PLATFORM, [root]).expect("a certificate");
    let (mut inbound, mut outbound) = (vec![0; INBOUND_LEN], vec![0; OUTBOUND_LEN]);
    let conn = net.cloud.open(net.now, Endpoint::MqttTls);
    let port = Port { net, conn, inbound: Vec::new() };
    embassy_futures::block_on(async {
        let mut session =
            Session::connect(port, &config, host, &mut inbound, &mut outbound).await.map_err(|error| error.reason())?;
        let user = format!("{HUB}/e54/?api-version=2021-04-12");
        let token = hub_token("e54", &KEY, EPOCH + 60);
        let packet = mqttrs2::Packet::Connect(mqttrs2::Connect {
            protocol: mqttrs2::Protocol::MQTT311,
            keep_alive: 0,
            client_id: "e54",
            clean_session: true,
            last_will: None,
            username: Some(&user),
            password: Some(token.as_bytes()),
        });
        let mut bytes = [0; 1024];
        let len = mqttrs2::encode_slice(&packet, &mut bytes).expect("fits");
        let mut connack = [0; 4];
        for part in bytes[..len].chunks(100) {
            let mut rest = part;
            while !rest.is_empty() {
                let len = session.write(rest).await.map_err(|error| error.reason())?;
                rest = &rest[len..];
            }
        }
        session.flush().await.map_err(|error| error.reason())?;
        let mut have = 0;
        while have < connack.len() {
            match session.read(&mut connack[have..]).await.map_err(|error| error.reason())? {
                0 => panic!("the server closed the connection"),
                len => have += len,
            }
        }
        Ok(connack)
    })
}

#[test]
fn the_firmwares_tls_client_trusts_the_fixture_root_and_connects() {
    let mut net = Net::new(2);
    net.cloud.register_device("e54", Attestation::symmetric(KEY)).expect("a new device");
    let root = net.cloud.config().keys.tls_root_der.clone();
    assert_eq!(connect(&mut net, HUB, &root), Ok([0x20, 2, 0, 0]));
    let established = EventKind::TlsEstablished {
        sni: Some(HUB.into()),
        version: "TLSv1_2".into(),
        suite: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".into(),
        client_certificate: false,
    };
    assert!(net.kinds().contains(&established));
}

#[test]
fn it_refuses_a_name_that_is_not_in_the_certificate_and_the_server_sees_why() {
    let mut net = Net::new(2);
    let root = net.cloud.config().keys.tls_root_der.clone();
    assert_eq!(connect(&mut net, "hub.example.com", &root), Err(Reason::CertificateName));
    let kinds = net.kinds();
    assert!(kinds.iter().any(|kind| matches!(kind, EventKind::TlsFailed { .. })), "{kinds:?}");
}
