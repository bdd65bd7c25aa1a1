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

/// What is told to a module that asks for the inputs of an Edge deployment.
const NO_INPUTS: &str = "inputs and routes between modules are IoT Edge's, and this hub has none";

/// What the hub makes of a topic filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// It is one of the documented ones.
    Known,
    /// It is one that another hub would know: the subscription fails, with this reason, and the connection stays.
    Refused(&'static str),
    /// It is none: the connection is closed.
    Unknown,
}

impl Filter {
    /// Judges a filter of a device, or of a module (`device/module`).
    pub fn of(filter: &str, id: &str) -> Self {
        if [TWIN_RESPONSES, DESIRED_PATCHES, METHODS].contains(&filter) {
            return Self::Known;
        }
        match id.split_once('/') {
            None if filter == devicebound(id) => Self::Known,
            Some((device, module)) if filter.starts_with(&format!("devices/{device}/modules/{module}/")) => {
                Self::Refused(NO_INPUTS)
            }
            _ => Self::Unknown,
        }
    }
}

/// `name=value` pairs of a query string or property bag, undecoded.
pub(crate) fn query(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// The user name of a device, `{host}/{device}/?api-version=…&DeviceClientType=…&model-id=…`, or of a module,
/// `{host}/{device}/{module}/?…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username {
    /// Host name of the hub.
    pub host: String,
    /// Device id, or `device/module`: what the client id has to be.
    pub id: String,
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
        let form = || {
            let wanted = "host/device/?api-version=…` or `host/device/module/?api-version=…";
            format!("the user name `{text}` is not of the form `{wanted}`")
        };
        // Old clients leave out the question mark.
        let (path, parameters) = match text.split_once("/?") {
            Some(parts) => parts,
            None => {
                let at = text.find("/api-version=").ok_or_else(form)?;
                (&text[..at], &text[at + 1..])
            }
        };
        let (host, id) = path.split_once('/').ok_or_else(form)?;
        if id.split('/').count() > 2 || id.split('/').any(str::is_empty) {
            return Err(form());
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
        Ok(Self { host: host.to_owned(), id: id.to_owned(), api_version, client_type, model_id })
    }
}

/// A message of a device, by its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Device-to-cloud message.
    Telemetry {
        /// Property bag, undecoded.
        bag: &'a str,
    },
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
    /// What `topic` asks for when a device or a module (`device/module`) publishes to it; `None` if the hub does not
    /// know the topic.
    pub fn of(topic: &'a str, id: &str) -> Option<Self> {
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
        let rest = topic.strip_prefix("devices/")?;
        let rest = match id.split_once('/') {
            None => rest.strip_prefix(id)?,
            Some((device, module)) => rest.strip_prefix(device)?.strip_prefix("/modules/")?.strip_prefix(module)?,
        };
        match rest.strip_prefix("/messages/events")? {
            "" => Some(Self::Telemetry { bag: "" }),
            rest => Some(Self::Telemetry { bag: rest.strip_prefix('/')? }),
        }
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
                id: "d1".into(),
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
        let module = Username::parse("h/d1/m1/?api-version=2021-04-12").expect("a module");
        assert_eq!((module.host.as_str(), module.id.as_str()), ("h", "d1/m1"));
        let old = Username::parse("h/d1/api-version=2016-11-14").expect("without a question mark");
        assert_eq!((old.id.as_str(), old.api_version.as_str()), ("d1", "2016-11-14"));
        for wrong in
            ["h/d1/m1/x/?api-version=2021-04-12", "h//?api-version=2021-04-12", "h/d1//?api-version=2021-04-12"]
        {
            assert!(Username::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Username::parse("h").is_err());
    }

    #[test]
    fn only_documented_topics_are_known() {
        assert_eq!(Request::of("$iothub/twin/GET/?$rid=a-b", "d1"), Some(Request::TwinGet { rid: "a-b" }));
        assert_eq!(
            Request::of("$iothub/methods/res/-3/?$rid=1", "d1"),
            Some(Request::MethodResponse { status: -3, rid: "1" })
        );
        let bag = "a=b&$.ct=x";
        assert_eq!(Request::of("devices/d1/messages/events/a=b&$.ct=x", "d1"), Some(Request::Telemetry { bag }));
        assert_eq!(Request::of("devices/d1/messages/events", "d1"), Some(Request::Telemetry { bag: "" }));
        let topic = "devices/d1/modules/m1/messages/events/a=b&$.ct=x";
        assert_eq!(Request::of(topic, "d1/m1"), Some(Request::Telemetry { bag }));
        for id in ["d1", "d1/m2", "d2/m1", "d1/m"] {
            assert_eq!(Request::of(topic, id), None, "{id}");
        }
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

    #[test]
    fn a_module_is_told_that_there_are_no_inputs() {
        for filter in [TWIN_RESPONSES, DESIRED_PATCHES, METHODS] {
            assert_eq!(Filter::of(filter, "d1"), Filter::Known);
            assert_eq!(Filter::of(filter, "d1/m1"), Filter::Known);
        }
        for (filter, id, verdict) in [
            ("devices/d1/messages/devicebound/#", "d1", Filter::Known),
            ("devices/d1/messages/devicebound/#", "d1/m1", Filter::Unknown),
            ("devices/d1/messages/devicebound/#", "d2", Filter::Unknown),
            ("devices/d1/modules/m1/inputs/#", "d1/m1", Filter::Refused(NO_INPUTS)),
            ("devices/d1/modules/m1/#", "d1/m1", Filter::Refused(NO_INPUTS)),
            ("devices/d1/modules/m1/#", "d1", Filter::Unknown),
        ] {
            assert_eq!(Filter::of(filter, id), verdict, "{filter} {id}");
        }
    }

    proptest::proptest! {
        #[test]
        fn user_names_never_panic(text in "[a-z0-9/?&=%.:;-]{0,60}") {
            if let Ok(username) = Username::parse(&text) {
                let start = format!("{}/{}/", username.host, username.id);
                proptest::prop_assert!(text.starts_with(&start));
            }
        }

        #[test]
        fn topics_never_panic(text in "(devices/d1/|[$]iothub/)?[ -~]{0,40}", id in "d1(/m1)?") {
            let _ = Request::of(&text, &id);
            let _ = Filter::of(&text, &id);
        }
    }
}
