//! Mosquitto's log, line by line: who connected, subscribed, published, acknowledged, left.

/// A line that matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// The broker listens.
    Running { version: &'a str },
    /// A client was let in; CONNACK follows.
    Connected { id: &'a str, username: Option<&'a str>, clean: bool },
    /// The client that was just let in has a last will; its topic follows.
    Will,
    /// CONNACK went out.
    Connack { id: &'a str, session_present: bool },
    /// A client subscribes; filters follow.
    Subscribe { id: &'a str },
    /// A client unsubscribes; filters follow.
    Unsubscribe { id: &'a str },
    /// A filter or a topic that belongs to a line before it.
    Detail { text: &'a str, qos: Option<u8> },
    /// All filters were taken.
    Granted { id: &'a str },
    /// All filters are gone.
    Ungranted { id: &'a str },
    /// A client published.
    Publish { id: &'a str, qos: u8, retain: bool, topic: Topic<'a> },
    /// A message goes out to a client.
    Sending { id: &'a str, qos: u8, mid: u16, topic: Topic<'a> },
    /// A client acknowledged a message.
    Puback { id: &'a str, mid: u16 },
    /// A client says good-bye.
    Disconnect { id: &'a str },
    /// A client is gone, or is about to be.
    Gone { id: &'a str, how: &'a str },
}

/// A topic in a line; long lines are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Topic<'a> {
    pub text: &'a str,
    pub cut: bool,
}

impl Topic<'_> {
    /// Whether it is this topic, as far as it can be read.
    pub fn is(&self, whole: &str) -> bool {
        if self.cut { whole.starts_with(self.text) } else { whole == self.text }
    }
}

/// Reads a line; `None` for one that does not matter.
pub(crate) fn read(line: &str) -> Option<Line<'_>> {
    if let Some(detail) = line.strip_prefix('\t') {
        let with_qos = detail.strip_suffix(')').and_then(|rest| rest.rsplit_once(" (QoS "));
        return Some(match with_qos.and_then(|(text, qos)| Some((text, qos.parse().ok()?))) {
            Some((text, qos)) => Line::Detail { text, qos: Some(qos) },
            None => Line::Detail { text: detail, qos: None },
        });
    }
    if let Some(rest) = line.strip_prefix("mosquitto version ") {
        return rest.strip_suffix(" running").map(|version| Line::Running { version });
    }
    if let Some(rest) = line.strip_prefix("New client connected from ") {
        return connected(rest);
    }
    if line.starts_with("Will message specified") {
        return Some(Line::Will);
    }
    if let Some(rest) = line.strip_prefix("Received ") {
        return received(rest);
    }
    if let Some(rest) = line.strip_prefix("Sending ") {
        return sending(rest);
    }
    let (id, how) = match line.strip_prefix("Client ") {
        Some(rest) => rest.split_once(' ')?,
        None => line.strip_prefix("Socket error on client ")?.split_once(", ")?,
    };
    let ends = ["disconnected", "closed its connection", "already connected", "exceeded timeout", "disconnecting"];
    ends.iter().any(|end| how.contains(end)).then_some(Line::Gone { id, how })
}

/// `127.0.0.1:47281 as dev1 (p2, c0, k60, u'user name').`
fn connected(rest: &str) -> Option<Line<'_>> {
    let (_, rest) = rest.split_once(" as ")?;
    let (id, rest) = rest.split_once(" (p")?;
    let (_, rest) = rest.split_once(", c")?;
    let (clean, rest) = rest.split_once(", k")?;
    let username = rest.split_once(", u'").map(|(_, name)| name.strip_suffix("').").unwrap_or(name));
    Some(Line::Connected { id, username, clean: clean == "1" })
}

fn received(rest: &str) -> Option<Line<'_>> {
    let (packet, rest) = rest.split_once(" from ")?;
    Some(match packet {
        "SUBSCRIBE" => Line::Subscribe { id: rest },
        "UNSUBSCRIBE" => Line::Unsubscribe { id: rest },
        "DISCONNECT" => Line::Disconnect { id: rest },
        "PUBLISH" => {
            let (id, Publish { qos, retain, topic, .. }) = publish(rest)?;
            Line::Publish { id, qos, retain, topic }
        }
        "PUBACK" => {
            let (id, rest) = rest.split_once(" (Mid: ")?;
            Line::Puback { id, mid: rest.split_once(',')?.0.parse().ok()? }
        }
        _ => return None,
    })
}

fn sending(rest: &str) -> Option<Line<'_>> {
    let (packet, rest) = rest.split_once(" to ")?;
    Some(match packet {
        "SUBACK" => Line::Granted { id: rest },
        "UNSUBACK" => Line::Ungranted { id: rest },
        "CONNACK" => {
            let (id, rest) = rest.split_once(" (")?;
            Line::Connack { id, session_present: rest.starts_with('1') }
        }
        "PUBLISH" => {
            let (id, Publish { qos, mid, topic, .. }) = publish(rest)?;
            Line::Sending { id, qos, mid, topic }
        }
        _ => return None,
    })
}

struct Publish<'a> {
    qos: u8,
    retain: bool,
    mid: u16,
    topic: Topic<'a>,
}

/// `dev1 (d0, q1, r0, m2, 'topic', ... (10 bytes))`
fn publish(rest: &str) -> Option<(&str, Publish<'_>)> {
    let (id, rest) = rest.split_once(" (d")?;
    let (_, rest) = rest.split_once(", q")?;
    let (qos, rest) = rest.split_once(", r")?;
    let (retain, rest) = rest.split_once(", m")?;
    let (mid, rest) = rest.split_once(", '")?;
    let topic = match rest.rsplit_once("', ... (") {
        Some((text, _)) => Topic { text, cut: false },
        None => Topic { text: rest, cut: true },
    };
    Some((id, Publish { qos: qos.parse().ok()?, retain: retain == "1", mid: mid.parse().ok()?, topic }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as Mosquitto 2.0.11 writes them.
    #[test]
    fn lines_of_a_session_are_understood() {
        let whole = |text| Topic { text, cut: false };
        let user = "h.azure-devices.net/dev1/?api-version=2021-04-12&model-id=dtmi:a;1";
        for (line, wanted) in [
            ("mosquitto version 2.0.11 starting", None),
            ("mosquitto version 2.0.11 running", Some(Line::Running { version: "2.0.11" })),
            ("New connection from 127.0.0.1:47281 on port 8883.", None),
            (
                &format!("New client connected from 127.0.0.1:47281 as dev1 (p2, c0, k60, u'{user}')."),
                Some(Line::Connected { id: "dev1", username: Some(user), clean: false }),
            ),
            (
                "New client connected from 127.0.0.1:5 as x (p2, c1, k60).",
                Some(Line::Connected { id: "x", username: None, clean: true }),
            ),
            ("Will message specified (1 bytes) (r0, q1).", Some(Line::Will)),
            (
                "\tdevices/dev1/messages/events/",
                Some(Line::Detail { text: "devices/dev1/messages/events/", qos: None }),
            ),
            ("Sending CONNACK to dev1 (1, 0)", Some(Line::Connack { id: "dev1", session_present: true })),
            ("Received SUBSCRIBE from dev1", Some(Line::Subscribe { id: "dev1" })),
            ("\t$iothub/twin/res/# (QoS 1)", Some(Line::Detail { text: "$iothub/twin/res/#", qos: Some(1) })),
            ("dev1 1 $iothub/twin/res/#", None),
            ("Sending SUBACK to dev1", Some(Line::Granted { id: "dev1" })),
            (
                "Received PUBLISH from dev1 (d0, q1, r0, m2, '$iothub/twin/GET/?$rid=1', ... (0 bytes))",
                Some(Line::Publish { id: "dev1", qos: 1, retain: false, topic: whole("$iothub/twin/GET/?$rid=1") }),
            ),
            (
                "Sending PUBLISH to dev1 (d0, q1, r0, m7, 'x', ... (5 bytes))",
                Some(Line::Sending { id: "dev1", qos: 1, mid: 7, topic: whole("x") }),
            ),
            ("Received PUBACK from dev1 (Mid: 7, RC:0)", Some(Line::Puback { id: "dev1", mid: 7 })),
            ("Sending PUBACK to dev1 (m2, rc0)", None),
            ("Received UNSUBSCRIBE from dev1", Some(Line::Unsubscribe { id: "dev1" })),
            ("Sending UNSUBACK to dev1", Some(Line::Ungranted { id: "dev1" })),
            ("Received PINGREQ from dev1", None),
            ("Received DISCONNECT from dev1", Some(Line::Disconnect { id: "dev1" })),
            ("Client dev1 disconnected.", Some(Line::Gone { id: "dev1", how: "disconnected." })),
            (
                "Client dev1 already connected, closing old connection.",
                Some(Line::Gone { id: "dev1", how: "already connected, closing old connection." }),
            ),
            ("Socket error on client dev1, disconnecting.", Some(Line::Gone { id: "dev1", how: "disconnecting." })),
            ("Client connection from 127.0.0.1 failed: error:0A0000C1", None),
            ("OpenSSL Error[0]: error:0A000126:SSL routines::unexpected eof while reading", None),
        ] {
            assert_eq!(read(line), wanted, "{line}");
        }
    }

    #[test]
    fn topic_in_a_line_that_was_cut_is_known_by_its_beginning() {
        let topic = format!("devices/dev1/messages/events/{}", "a".repeat(2_000));
        let line = format!("Received PUBLISH from dev1 (d0, q0, r0, m0, '{topic}', ... (10 bytes))");
        let Some(Line::Publish { topic: read, .. }) = read(&line[..990]) else { panic!("no PUBLISH") };
        assert!(read.cut && read.is(&topic) && !read.is("devices/dev1/messages/events/"));
    }
}
