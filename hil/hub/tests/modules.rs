//! Modules, methods that wait, messages with properties, and the registry.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use hub::{
    Attestation, Device, DeviceQuery, DeviceUpdate, EventKind, HubError, Message, MethodRequest, NewDevice, TwinUpdate,
};
use mqttrs2::{Packet, QoS};
use serde_json::{Map, Value, json};
use support::*;

fn object(value: Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

fn hub() -> Net {
    let mut net = Net::new(13);
    net.cloud.register_device("e54", Attestation::symmetric(KEY)).expect("a new device");
    net.cloud.register_device("e54/radio", Attestation::symmetric([9; 32])).expect("a new module");
    net
}

fn module(net: &mut Net, key: &[u8]) -> (Mqtt, FromServer) {
    let mut mqtt = Mqtt::new(net.tls(HUB));
    let user = format!("{HUB}/e54/radio/?api-version=2021-04-12&DeviceClientType=x");
    let token = hub_token("e54%2Fmodules%2Fradio", key, EPOCH + 3600);
    let answer = mqtt.connect(net, "e54/radio", &user, Some(&token));
    (mqtt, answer)
}

#[test]
fn a_module_has_a_connection_a_twin_methods_and_keys_of_its_own() {
    let mut net = hub();
    assert!(matches!(module(&mut net, &KEY).1, FromServer::Connack { code: 5, .. }), "the device's key is not its own");
    let mut of_device = device(&mut net, "e54");
    let (mut mqtt, answer) = module(&mut net, &[9; 32]);
    assert_eq!(answer, FromServer::Connack { code: 0, session_present: false });
    mqtt.subscribe(
        &mut net,
        &["$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#", "$iothub/methods/POST/#"],
    );
    net.cloud.set_desired(net.now, "e54/radio", &json!({"channel": 6})).expect("small");
    mqtt.read(&mut net);
    assert_eq!(mqtt.message().1, b"{\"channel\":6,\"$version\":2}");
    assert_eq!(report(&mut net, &mut mqtt, &json!({"channel": 6})), "204");
    of_device.read(&mut net);
    assert_eq!(of_device.inbox(), [], "it is the module's");
    assert_eq!(net.cloud.twin("e54").expect("exists").desired_version(), 1);
    let call = net.cloud.call_method(net.now, "e54/radio", &MethodRequest::new("scan")).expect("it listens");
    mqtt.read(&mut net);
    let (topic, body) = mqtt.message();
    let rid = topic.strip_prefix("$iothub/methods/POST/scan/?$rid=").expect("the topic");
    assert_eq!(body, b"", "no payload is an empty body");
    mqtt.publish(&mut net, &format!("$iothub/methods/res/200/?$rid={rid}"), b"", QoS::AtMostOnce);
    mqtt.publish(&mut net, "devices/e54/modules/radio/messages/events/$.on=out&k=v", b"x", QoS::AtMostOnce);
    let kinds = net.kinds();
    let answered = EventKind::MethodAnswered { device: "e54/radio".into(), call, status: 200, body: Vec::new() };
    assert!(kinds.contains(&answered), "{kinds:?}");
    let telemetry = kinds.into_iter().find_map(|kind| match kind {
        EventKind::Telemetry(told) => Some((told.device().to_owned(), told.system(), told.properties())),
        _ => None,
    });
    let (device, system, properties) = telemetry.expect("telemetry");
    assert_eq!((device.as_str(), system["iothub-connection-module-id"].as_str()), ("e54/radio", "radio"));
    assert_eq!((system["iothub-outputname"].as_str(), properties["k"].as_str()), ("out", "v"));
    // The device's topics are not a module's.
    mqtt.publish(&mut net, "devices/e54/messages/events/", b"x", QoS::AtMostOnce);
    assert!(mqtt.wire.closed && !of_device.wire.closed);
}

#[test]
fn inputs_of_a_module_are_refused_and_the_connection_stays() {
    let mut net = hub();
    let (mut mqtt, _) = module(&mut net, &[9; 32]);
    let topics = ["devices/e54/modules/radio/inputs/#", "$iothub/methods/POST/#"];
    let topic =
        |filter: &&str| mqttrs2::SubscribeTopic { topic_path: filter.parse().expect("short"), qos: QoS::AtLeastOnce };
    let subscribe = mqttrs2::Subscribe { pid: mqttrs2::Pid::new(), topics: topics.iter().map(topic).collect() };
    mqtt.packet(&mut net, &Packet::Subscribe(subscribe));
    assert_eq!(mqtt.inbox(), [FromServer::Suback(vec![None, Some(1)])]);
    let kinds = net.kinds();
    assert!(
        kinds.iter().any(|kind| matches!(kind, EventKind::SubscriptionRefused { why, .. } if why.contains("IoT Edge"))),
        "{kinds:?}"
    );
    let to_module = net.cloud.send_cloud_to_device(net.now, "e54/radio", Message::default());
    assert_eq!(to_module, Err(HubError::ModuleQueue("e54/radio".into())));
}

#[test]
fn a_module_goes_with_its_device() {
    let mut net = hub();
    let (mut mqtt, _) = module(&mut net, &[9; 32]);
    net.cloud.set_enabled(net.now, "e54", false).expect("exists");
    mqtt.read(&mut net);
    assert!(mqtt.wire.closed);
    assert!(matches!(module(&mut net, &[9; 32]).1, FromServer::Connack { code: 5, .. }));
    net.cloud.set_enabled(net.now, "e54", true).expect("exists");
    let (mut mqtt, answer) = module(&mut net, &[9; 32]);
    assert_eq!(answer, FromServer::Connack { code: 0, session_present: false });
    let mut net = {
        mqtt.packet(&mut net, &Packet::Disconnect);
        net.restarted(&mut BTreeMap::new())
    };
    assert_eq!(net.cloud.modules("e54").map(Device::id).collect::<Vec<_>>(), ["e54/radio"]);
    assert_eq!(net.cloud.devices().map(Device::id).collect::<Vec<_>>(), ["e54"]);
    let (mut mqtt, _) = module(&mut net, &[9; 32]);
    net.cloud.delete_device(net.now, "e54", None).expect("exists");
    mqtt.read(&mut net);
    assert!(mqtt.wire.closed && net.cloud.device("e54/radio").is_none());
    let gone: Vec<String> =
        net.cloud.take_changes().into_iter().filter(|change| change.value.is_none()).map(|change| change.key).collect();
    assert_eq!(gone, ["device/e54", "device/e54/radio", "twin/e54", "twin/e54/radio"]);
}

#[test]
fn a_method_waits_for_its_device_as_long_as_it_is_told() {
    let mut net = hub();
    let seconds = Duration::from_secs;
    let request = MethodRequest {
        payload: Some(json!([1])),
        response_timeout: seconds(5),
        connect_timeout: seconds(20),
        ..MethodRequest::new("late")
    };
    let (lost, sent) = {
        let lost = net.cloud.call_method(net.now, "e54", &request).expect("waits");
        net.pass(seconds(19));
        (lost, net.cloud.call_method(net.now, "e54", &request).expect("waits"))
    };
    net.pass(seconds(1));
    assert!(net.kinds().contains(&EventKind::MethodNotOnline { device: "e54".into(), call: lost }));
    let mut mqtt = device(&mut net, "e54");
    let (topic, body) = mqtt.message();
    assert!(topic.starts_with("$iothub/methods/POST/late/?$rid="), "{topic}");
    assert_eq!(body, b"[1]");
    net.pass(seconds(4));
    assert!(!net.kinds().iter().any(|kind| matches!(kind, EventKind::MethodTimedOut { .. })));
    net.pass(seconds(1));
    assert!(net.kinds().contains(&EventKind::MethodTimedOut { device: "e54".into(), call: sent }));
    mqtt.packet(&mut net, &Packet::Disconnect);
    let offline = net.cloud.call_method(net.now, "e54", &MethodRequest::new("x")).expect_err("not there");
    assert_eq!((offline.status(), offline.code()), (404, 404_103), "{offline}");
}

#[test]
fn telemetry_has_its_properties() {
    let mut net = hub();
    net.pass(Duration::from_secs(3));
    let mut mqtt = Mqtt::new(net.tls(HUB));
    let user = format!("{HUB}/e54/?api-version=2021-04-12&model-id=dtmi:a;1");
    let will = Some(("devices/e54/messages/events/w=1", &b"gone"[..]));
    mqtt.connect_with(&mut net, "e54", &user, Some(&hub_token("e54", &KEY, EPOCH + 60)), true, will);
    let bag = "$.ct=application%2Fjson&$.ce=utf-8&$.mid=m&$.sub=thermostat&a%20b=c%26d&flag&bad=%zz&e=";
    let topic = format!("devices/e54/messages/events/{bag}");
    let publish = mqttrs2::Publish {
        dup: false,
        qospid: mqttrs2::QosPid::AtMostOnce,
        retain: true,
        topic_name: &topic,
        payload: b"{}",
    };
    mqtt.packet(&mut net, &Packet::Publish(publish));
    net.cloud.closed(net.now, mqtt.wire.conn);
    let telemetry = net.kinds().into_iter().filter_map(|kind| match kind {
        EventKind::Telemetry(told) => Some((told.system(), told.properties(), told.is_will())),
        _ => None,
    });
    let telemetry: Vec<_> = telemetry.collect();
    let (system, properties, will) = &telemetry[0];
    let texts = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let own = texts(&[("a b", "c&d"), ("flag", ""), ("bad", "%zz"), ("e", ""), ("mqtt-retain", "true")]);
    assert_eq!((properties, *will), (&own, false));
    let generation = net.cloud.device("e54").expect("exists").generation_id();
    let auth = r#"{"scope":"device","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}"#;
    let expected = texts(&[
        ("content-type", "application/json"),
        ("content-encoding", "utf-8"),
        ("message-id", "m"),
        ("dt-subject", "thermostat"),
        ("dt-dataschema", "dtmi:a;1"),
        ("iothub-connection-device-id", "e54"),
        ("iothub-connection-auth-method", auth),
        ("iothub-connection-auth-generation-id", generation),
        ("iothub-enqueuedtime", "2026-01-01T00:00:03.0000000Z"),
        ("iothub-message-source", "Telemetry"),
    ]);
    assert_eq!(system, &expected);
    let (_, properties, will) = &telemetry[1];
    assert_eq!((properties, *will), (&texts(&[("w", "1"), ("iothub-MessageType", "Will")]), true));
}

#[test]
fn the_size_of_a_message_counts_its_properties() {
    let mut net = hub();
    let mut mqtt = device(&mut net, "e54");
    let topic = "devices/e54/messages/events/$.ct=text&ab=cd";
    mqtt.publish(&mut net, topic, &vec![0; 256 * 1024 - 8], QoS::AtLeastOnce);
    assert_eq!(mqtt.inbox().len(), 1);
    let mut other = module(&mut net, &[9; 32]).0;
    mqtt.publish(&mut net, topic, &vec![0; 256 * 1024 - 7], QoS::AtLeastOnce);
    assert!(mqtt.wire.closed && mqtt.inbox().is_empty());
    other.packet(&mut net, &Packet::Pingreq);
    assert_eq!(other.inbox(), [FromServer::Pingresp], "one byte over costs its own connection alone");
}

#[test]
fn devices_are_made_changed_listed_and_removed() {
    let mut net = hub();
    let now = net.now;
    let created = net.cloud.create_device(now, "b", NewDevice::default()).expect("new").clone();
    let Attestation::SymmetricKey { primary, secondary: Some(secondary) } = created.attestation() else {
        panic!("keys")
    };
    assert!(primary.len() == 32 && secondary.len() == 32 && primary != secondary);
    let other = net.cloud.create_device(now, "c", NewDevice::default()).expect("new").clone();
    assert_ne!(created.generation_id(), other.generation_id());
    assert_ne!(created.attestation(), other.attestation());
    for (id, code) in
        [("b", 409_001), ("", 400_004), ("a b", 400_004), ("a/b/c", 400_004), ("a/", 400_004), ("no/m", 404_001)]
    {
        let error = net.cloud.create_device(now, id, NewDevice::default()).expect_err(id);
        assert_eq!(error.code(), code, "{error}");
    }
    let long = "d".repeat(128);
    net.cloud.create_device(now, &long, NewDevice::default()).expect("the longest id");
    assert!(net.cloud.create_device(now, &format!("{long}d"), NewDevice::default()).is_err());
    let short = NewDevice { attestation: Some(Attestation::symmetric([1; 15])), ..NewDevice::default() };
    assert_eq!(net.cloud.create_device(now, "short", short).expect_err("short"), HubError::KeyLength(15));
    let page: Vec<&str> = net.cloud.devices_after("b").map(Device::id).take(2).collect();
    assert_eq!(page, ["c", &long]);

    let stale = net.cloud.device("b").expect("exists").etag();
    let off = DeviceUpdate { enabled: Some(false), status_reason: Some("lost".into()), ..DeviceUpdate::default() };
    net.pass(Duration::from_secs(5));
    net.cloud.update_device(net.now, "b", off.clone(), Some(&stale)).expect("fits");
    let error = net.cloud.update_device(net.now, "b", off, Some(&format!("\"{stale}\""))).expect_err("stale");
    assert_eq!(error.status(), 412, "{error}");
    assert_eq!(net.cloud.delete_device(net.now, "b", Some(&stale)).expect_err("stale").status(), 412);
    let utc = net.cloud.utc();
    let document = net.cloud.device("b").expect("exists").identity_document(utc);
    assert_eq!((&document["status"], &document["statusReason"]), (&json!("disabled"), &json!("lost")));
    assert_eq!(document["statusUpdatedTime"], "2026-01-01T00:00:05.0000000Z");
    assert_eq!(document["authentication"]["type"], "sas");
    assert_eq!(document["authentication"]["symmetricKey"]["primaryKey"].as_str().map(str::len), Some(44));
    net.cloud.regenerate_keys("b", false).expect("exists");
    let Attestation::SymmetricKey { secondary, .. } = net.cloud.device("b").expect("exists").attestation() else {
        panic!("keys")
    };
    assert_eq!(secondary.as_ref(), Some(primary), "the first key has taken the second's place");
    net.cloud.delete_device(net.now, "b", Some("*")).expect("exists");
    assert!(net.cloud.device("b").is_none());
    for index in 0..49 {
        net.cloud.create_device(now, &format!("e54/m{index}"), NewDevice::default()).expect("room");
    }
    let error = net.cloud.create_device(now, "e54/m49", NewDevice::default()).expect_err("too many");
    assert_eq!(error, HubError::TooManyModules("e54".into()));
}

#[test]
fn devices_are_found_by_status_and_tags() {
    let mut net = hub();
    let make = |net: &mut Net, id: &str, tags: Value, enabled| {
        let new = NewDevice { tags: object(tags), enabled, ..NewDevice::default() };
        net.cloud.create_device(net.now, id, new).expect("new");
    };
    make(&mut net, "a", json!({"site": {"floor": 1}, "ring": "x"}), true);
    make(&mut net, "b", json!({"site": {"floor": 2}, "ring": "x"}), true);
    make(&mut net, "c", json!({"ring": "x"}), false);
    let _online = device(&mut net, "e54");
    let found = |query: DeviceQuery| -> Vec<String> {
        net.cloud.query_devices(&query).map(|device| device.id().to_owned()).collect()
    };
    let all = DeviceQuery::default;
    assert_eq!(found(all()), ["a", "b", "c", "e54"]);
    assert_eq!(found(DeviceQuery { enabled: Some(false), ..all() }), ["c"]);
    assert_eq!(found(DeviceQuery { connected: Some(true), ..all() }), ["e54"]);
    let tag = |path: &str, value: Value| (path.to_owned(), value);
    assert_eq!(found(DeviceQuery { tags: vec![tag("site.floor", json!(2))], ..all() }), ["b"]);
    let both = vec![tag("ring", json!("x")), tag("site", json!({"floor": 1}))];
    assert_eq!(found(DeviceQuery { tags: both, ..all() }), ["a"]);
    assert_eq!(found(DeviceQuery { tags: vec![tag("site.floor.x", json!(2))], ..all() }), Vec::<String>::new());
}

#[test]
fn a_twin_is_changed_as_a_whole_or_not_at_all() {
    let mut net = hub();
    let mut mqtt = device(&mut net, "e54");
    let both = |tags: Value, desired: Value, replace| TwinUpdate {
        tags: Some(object(tags)),
        desired: Some(object(desired)),
        replace,
        if_match: None,
    };
    net.cloud
        .update_twin(net.now, "e54", &both(json!({"t": 1}), json!({"a": {"b": 1, "c": 2}, "d": 3}), false))
        .expect("fits");
    let etag = net.cloud.twin("e54").expect("exists").etag();
    net.cloud.update_twin(net.now, "e54", &both(json!({"u": 1}), json!({"a": {"c": 5}, "e": 1}), true)).expect("fits");
    mqtt.read(&mut net);
    let bodies: Vec<Value> = mqtt.messages().iter().map(|(_, body)| json(body)).collect();
    assert_eq!(bodies[0], json!({"a": {"b": 1, "c": 2}, "d": 3, "$version": 2}));
    assert_eq!(bodies[1], json!({"a": {"b": null, "c": 5}, "d": null, "e": 1, "$version": 3}));
    let twin = net.cloud.twin("e54").expect("exists");
    assert_eq!((twin.desired(), twin.tags()), (&object(json!({"a": {"c": 5}, "e": 1})), &object(json!({"u": 1}))));
    let before = twin.clone();
    let stale = TwinUpdate { if_match: Some(etag), ..both(json!({}), json!({}), false) };
    assert_eq!(net.cloud.update_twin(net.now, "e54", &stale).expect_err("stale").status(), 412);
    let wrong = both(json!({"t": 9}), json!({"a.b": 1}), false);
    assert_eq!(net.cloud.update_twin(net.now, "e54", &wrong).expect_err("a bad key").code(), 400_004);
    assert_eq!(net.cloud.twin("e54"), Some(&before));
    let document = net.cloud.device("e54").expect("exists").twin_document(net.cloud.utc());
    assert_eq!((&document["connectionState"], &document["modelId"]), (&json!("Connected"), &json!(MODEL)));
    assert_eq!(document["properties"]["desired"]["$metadata"]["e"]["$lastUpdatedVersion"], 3);
    assert_eq!((&document["tags"], &document["etag"]), (&json!({"u": 1}), &json!(before.etag())));
}
