//! User names and topics of IoT Hub's MQTT interface.

use crate::sas::percent_decode;

/// Filter for replies to twin requests.
pub const TWIN_RESPONSES: &str = "$iothub/twin/res/#";
/// Filter for desired-property patches.
pub const DESIRED_PATCHES: &str = "$iothub/twin/PATCH/properties/desired/#";
/// Filter for direct methods.
pub const METHODS: &str = "$iothub/methods/POST/#";

/// Filter for cloud-to-device messages of a device.
pub fn devicebound(device: &str) -> String {
    format!("devices/{device}/messages/devicebound/#")
}

/// `name=value` pairs of a query string or property bag, undecoded.
pub(crate) fn query(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// The user name of a device: `{host}/{device}/?api-version=…&DeviceClientType=…&model-id=…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username {
    /// Host name of the hub.
    pub host: String,
    /// Device id.
    pub device: String,
    /// API version: a date, with or without `-preview`.
    pub api_version: String,
    /// Type of the client, percent-decoded.
    pub client_type: Option<String>,
    /// Model id, percent-decoded.
    pub model_id: Option<String>,
}

impl Username {
    /// Parses a user name; the order of the query is free, and values may be percent-encoded or not.
    ///
    /// # Errors
    /// What is wrong, for a reader.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, '/');
        let (Some(host), Some(device), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(format!("the user name `{text}` is not of the form `host/device/?api-version=…`"));
        };
        let Some(parameters) = rest.strip_prefix('?').or_else(|| rest.strip_prefix("api-version=").map(|_| rest))
        else {
            return Err(format!("the user name `{text}` names a module or has no `?`; modules are not supported"));
        };
        if device.is_empty() {
            return Err("the user name has no device id".into());
        }
        let (mut api_version, mut client_type, mut model_id) = (None, None, None);
        for (name, value) in query(parameters) {
            let slot = match name {
                "api-version" => &mut api_version,
                "DeviceClientType" => &mut client_type,
                "model-id" => &mut model_id,
                _ => continue,
            };
            *slot = Some(percent_decode(value).ok_or_else(|| format!("`{name}` in the user name is malformed"))?);
        }
        let api_version = api_version.ok_or("the user name has no api-version")?;
        let date = api_version.get(..10).unwrap_or_default();
        let is_date = date.len() == 10
            && date
                .bytes()
                .enumerate()
                .all(|(i, byte)| if i == 4 || i == 7 { byte == b'-' } else { byte.is_ascii_digit() });
        if !is_date {
            return Err(format!("the api-version `{api_version}` is not a date"));
        }
        // Plug and Play came with this version; the service ignores or refuses a model id before it.
        if model_id.is_some() && date < "2020-09-30" {
            return Err(format!("a model-id needs api-version 2020-09-30 or later, not {api_version}"));
        }
        Ok(Self { host: host.to_owned(), device: device.to_owned(), api_version, client_type, model_id })
    }
}

/// A message of a device, by its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Device-to-cloud message.
    Telemetry,
    /// Read the twin.
    TwinGet {
        /// Request id.
        rid: &'a str,
    },
    /// Change reported properties.
    TwinPatch {
        /// Request id.
        rid: &'a str,
    },
    /// Answer to a direct method.
    MethodResponse {
        /// Status chosen by the device.
        status: i32,
        /// Request id.
        rid: &'a str,
    },
}

impl<'a> Request<'a> {
    /// What `topic` asks for when `device` publishes to it; `None` if the hub does not know the topic.
    pub fn of(topic: &'a str, device: &str) -> Option<Self> {
        let rid = |text| query(text).find_map(|(name, value)| (name == "$rid").then_some(value));
        if let Some(text) = topic.strip_prefix("$iothub/twin/GET/?") {
            return Some(Self::TwinGet { rid: rid(text)? });
        }
        if let Some(text) = topic.strip_prefix("$iothub/twin/PATCH/properties/reported/?") {
            return Some(Self::TwinPatch { rid: rid(text)? });
        }
        if let Some(text) = topic.strip_prefix("$iothub/methods/res/") {
            let (status, text) = text.split_once("/?")?;
            return Some(Self::MethodResponse { status: status.parse().ok()?, rid: rid(text)? });
        }
        let rest = topic.strip_prefix("devices/")?.strip_prefix(device)?.strip_prefix("/messages/events")?;
        (rest.is_empty() || rest.starts_with('/')).then_some(Self::Telemetry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_of_the_official_clients_parse() {
        let wanted = |api: &str, client: Option<&str>, model: Option<&str>| {
            Ok(Username {
                host: "h.azure-devices.net".into(),
                device: "d1".into(),
                api_version: api.into(),
                client_type: client.map(str::to_owned),
                model_id: model.map(str::to_owned),
            })
        };
        let parse = |query: &str| Username::parse(&format!("h.azure-devices.net/d1/?{query}"));
        assert_eq!(
            parse("api-version=2020-09-30&DeviceClientType=py-azure%201&model-id=dtmi%3Aa%3Bb%3B1"),
            wanted("2020-09-30", Some("py-azure 1"), Some("dtmi:a;b;1"))
        );
        assert_eq!(
            parse("model-id=dtmi:azure:iot:x;1&api-version=2021-04-12"),
            wanted("2021-04-12", None, Some("dtmi:azure:iot:x;1"))
        );
        assert!(parse("api-version=2019-10-01&model-id=dtmi:a;1").is_err());
        assert!(parse("DeviceClientType=x").is_err());
        assert!(Username::parse("h/d1/m1/?api-version=2021-04-12").is_err());
        assert!(Username::parse("h").is_err());
    }

    #[test]
    fn only_documented_topics_are_known() {
        assert_eq!(Request::of("$iothub/twin/GET/?$rid=a-b", "d1"), Some(Request::TwinGet { rid: "a-b" }));
        assert_eq!(
            Request::of("$iothub/methods/res/-3/?$rid=1", "d1"),
            Some(Request::MethodResponse { status: -3, rid: "1" })
        );
        assert_eq!(Request::of("devices/d1/messages/events/a=b&$.ct=x", "d1"), Some(Request::Telemetry));
        for topic in [
            "$iothub/twin/GET/?rid=1",
            "$iothub/twin/PUT/?$rid=1",
            "devices/d2/messages/events/",
            "devices/d1/messages/eventsx",
            "devices/d1x/messages/events/",
            "a",
        ] {
            assert_eq!(Request::of(topic, "d1"), None, "{topic}");
        }
    }
}
