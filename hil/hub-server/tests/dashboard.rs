//! The dashboard in a browser, with a hub and devices behind it.

mod browser;

use std::sync::Arc;

use browser::{Browser, Device, hub, url};
use hub::{DeployOptions, ImportManifest, NewDeployment, Target, UpdateId};
use hub_server::Server;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What runs in a browser that takes it for markup.
const HOSTILE: &str = "<img src=x onerror=window.pwned=1>";
/// The same without the characters that keys of twins cannot have.
const HOSTILE_KEY: &str = "<img/src=x/onerror=pwned=1>";

/// The row of a device in the list of all.
fn row(device: &str) -> String {
    format!("//*[contains(@class,'devices')]//*[@role='row'][.//a[.='{device}']]")
}

/// The row of a property in the twin.
fn property(path: &str) -> String {
    format!("//table[contains(@class,'twin')]//tr[th[.='{path}']]")
}

fn installed(version: &str) -> String {
    format!(r#"{{"provider":"Contoso","name":"pump","version":"{version}"}}"#)
}

async fn no_complaints(browser: &Browser) {
    let complaints = browser.complaints().await;
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_appear_and_change_live() {
    let Some(browser) = Browser::open("devices_appear_and_change_live").await else { return };
    let server = hub(None).await;
    browser.client.goto(&url(&server, "/")).await.expect("redirected to the dashboard");
    browser.at("//*[@id='device-count'][.='No device is registered yet.']").await;
    browser.at("//*[@id='feed'][.='live']").await;

    Device::register(&server, "pump-1");
    let mut device = Device::connect(&server, "pump-1", "dtmi:contoso:pump;1").await;
    browser.at(&format!("{}[span[2]='connected'][span[5]='dtmi:contoso:pump;1']", row("pump-1"))).await;
    browser.at("//*[@id='hub'][.='1 of 1 devices connected']").await;

    device.report(json!({"deviceUpdate": {"__t": "c", "agent": {"installedUpdateId": installed("1.2.0")}}})).await;
    browser.at(&format!("{}[span[4]='Contoso/pump 1.2.0']", row("pump-1"))).await;
    device.report(json!({"deviceUpdate": {"agent": {"installedUpdateId": installed("1.3.0")}}})).await;
    browser.at(&format!("{}[span[4]='Contoso/pump 1.3.0']", row("pump-1"))).await;

    drop(device);
    browser.at(&format!("{}[span[2]='disconnected']", row("pump-1"))).await;
    no_complaints(&browser).await;
    server.stop().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_devices_are_a_few_rows() {
    let Some(browser) = Browser::open("thousands_of_devices_are_a_few_rows").await else { return };
    let server = hub(None).await;
    for number in 0..5000 {
        let id = format!("pump-{number:04}");
        Device::register(&server, &id);
        let tags = json!({"ADUGroup": if number % 2 == 0 { "even" } else { "odd" }});
        let Value::Object(tags) = tags else { unreachable!("it is an object") };
        server.core().call(|cloud, _| cloud.set_tags(&id, &tags)).expect("small");
    }
    browser.client.goto(&url(&server, "/dashboard/")).await.expect("a page");
    browser.at("//*[@id='device-count'][.='5,000 of 5,000 shown, 0 connected']").await;
    browser.at(&row("pump-0000")).await;
    let rows = "//*[contains(@class,'devices')]//*[@role='row']";
    let count = browser.count(rows).await;
    assert!(count < 100, "{count} rows for 5000 devices");

    // By keyboard: to the end, and into it.
    let grid = browser.at("//*[contains(@class,'devices')][@role='grid']").await;
    grid.send_keys("\u{e010}").await.expect("End");
    browser.at(&format!("{}[@aria-selected='true'][@aria-rowindex='5001']", row("pump-4999"))).await;
    assert!(browser.count(rows).await < 100);

    // By group, by text, and the other way round.
    browser.click("//select[@id='device-group']/option[.='odd']").await;
    browser.at("//*[@id='device-count'][.='2,500 of 5,000 shown, 0 connected']").await;
    browser.fill("//input[@id='device-filter']", "pump-012").await;
    browser.at("//*[@id='device-count'][.='5 of 5,000 shown, 0 connected']").await;
    browser.click("//*[@role='columnheader']/button[.='Device']").await;
    browser.at(&format!("{}[@aria-rowindex='2']", row("pump-0129"))).await;

    let grid = browser.at("//*[contains(@class,'devices')][@role='grid']").await;
    grid.send_keys("\u{e011}\u{e007}").await.expect("Home, Enter");
    browser.at("//h2[contains(.,'pump-0129')]").await;
    no_complaints(&browser).await;
    server.stop().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_twin_shows_what_differs_and_what_was() {
    let Some(browser) = Browser::open("a_twin_shows_what_differs_and_what_was").await else { return };
    let server = hub(None).await;
    Device::register(&server, "pump-1");
    let mut device = Device::connect(&server, "pump-1", "dtmi:contoso:pump;1").await;
    device.report(json!({"rate": 10, "mode": "auto", "limits": {"low": 1}})).await;
    browser.client.goto(&url(&server, "/dashboard/#/device/pump-1")).await.expect("a page");
    browser.at(&format!("{}[td[1]=''][td[2]='10'][td[3]='reported']", property("rate"))).await;

    // What is wanted is sent from the page, and arrives.
    browser.fill("//*[@id='edit-patch']", r#"{"rate": 20, "limits": {"low": 1}}"#).await;
    browser.click("//form[@aria-label='Change the twin']//button").await;
    browser.at("//form[@aria-label='Change the twin']//output[.='sent']").await;
    let (_, patch) = device.receive("$iothub/twin/PATCH/properties/desired/").await;
    assert_eq!((&patch["rate"], &patch["limits"]), (&json!(20), &json!({"low": 1})));
    browser.at(&format!("{}[td[1]/ins='20'][td[2]='10'][td[3]='differs']", property("rate"))).await;
    browser.at(&format!("{}[td[1]='1'][td[2]='1'][td[3]='same']", property("limits.low"))).await;

    // The device's answer in the convention of Plug and Play is compared by its value.
    device.report(json!({"rate": {"value": 20, "ac": 203, "av": 2, "ad": "soon"}, "mode": null})).await;
    let answered = "[td[2]/del='10'][td[2]/ins='20'][td[2]/small[contains(.,'answered 203 to version 2: soon')]]";
    browser.at(&format!("{}{answered}[td[3]='same']", property("rate"))).await;
    browser.at(&format!("{}[td[2]/del='auto'][td[3]='gone']", property("mode"))).await;
    assert_eq!(browser.count(&format!("{}//del", property("limits.low"))).await, 0, "it has not changed");

    browser.click("//button[.='Forget old values']").await;
    browser.at(&format!("{}[not(td//del)][td[2]/span='20']", property("rate"))).await;
    assert_eq!(browser.count(&property("mode")).await, 0);

    // A patch that the hub refuses says why.
    browser.fill("//*[@id='edit-patch']", r#"{"a.b": 1}"#).await;
    browser.click("//form[@aria-label='Change the twin']//button").await;
    browser.at("//form[@aria-label='Change the twin']//output[@class='bad'][contains(.,'`a.b`')]").await;
    no_unexpected(&browser, &["400"]).await;
    server.stop().await.expect("stops");
}

/// The browser notes each answer that is an error; those with these statuses were asked for.
async fn no_unexpected(browser: &Browser, statuses: &[&str]) {
    let mut complaints = browser.complaints().await;
    complaints.retain(|text| !statuses.iter().any(|status| text.contains(&format!("status of {status}"))));
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_called_messaged_and_disconnected() {
    let Some(browser) = Browser::open("a_device_is_called_messaged_and_disconnected").await else { return };
    let server = hub(None).await;
    Device::register(&server, "pump-1");
    let mut device = Device::connect(&server, "pump-1", "dtmi:contoso:pump;1").await;
    browser.client.goto(&url(&server, "/dashboard/#/device/pump-1")).await.expect("a page");
    browser.at("//h2//*[contains(@class,'badge')][.='connected']").await;

    browser.fill("//*[@id='method-name']", "prime").await;
    browser.fill("//*[@id='method-payload']", r#"{"seconds": 3}"#).await;
    browser.click("//form[@aria-label='Call a method']//button").await;
    browser.at(r#"//form[@aria-label='Call a method']//output[.='status 200: {"seconds":3}']"#).await;

    browser.fill("//*[@id='message-body']", "hello").await;
    browser.fill("//form[@aria-label='Send a message']//textarea[@placeholder='name=value']", "level=high").await;
    browser.click("//form[@aria-label='Send a message']//button").await;
    let (topic, body) = device.receive("devices/pump-1/messages/devicebound/").await;
    assert_eq!(body, json!("hello"));
    assert!(topic.contains("level=high"), "{topic}");

    device.tell("", r#"{"flow": 7}"#).await;
    let said = r#"//*[contains(@class,'log')]//*[@role='row'][span[3]='telemetry'][contains(span[4],'{"flow": 7}')]"#;
    browser.at(said).await;

    browser.click("//form[@aria-label='Connection']//button").await;
    browser.at("//form[@aria-label='Connection']//output[.='disconnected']").await;
    let lost = "//*[contains(@class,'log')]//*[@role='row'][span[3]='disconnected']";
    browser.at(&format!("{lost}[contains(span[4],'told to')]")).await;
    no_complaints(&browser).await;
    server.stop().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_filters_and_pauses() {
    let Some(browser) = Browser::open("the_log_filters_and_pauses").await else { return };
    let server = hub(None).await;
    for id in ["pump-1", "valve-1"] {
        Device::register(&server, id);
    }
    let pump = Device::connect(&server, "pump-1", "dtmi:contoso:pump;1").await;
    let mut valve = Device::connect(&server, "valve-1", "dtmi:contoso:valve;1").await;
    browser.client.goto(&url(&server, "/dashboard/#/log")).await.expect("a page");
    browser.at("//*[@id='feed'][.='live']").await;
    let line = |text: &str| format!("//*[contains(@class,'log')]//*[@role='row'][contains(span[5],'{text}')]");

    pump.tell("", "flow seven").await;
    valve.tell("", "shut").await;
    valve.report(json!({"angle": 30})).await;
    for text in ["flow seven", "shut", "\"angle\":30"] {
        browser.at(&line(text)).await;
    }

    browser.fill("//input[@name='device']", "valve").await;
    browser.at("//*[contains(@class,'log')][@role='grid'][not(.//*[@role='row'][span[3]='pump-1'])]").await;
    browser.at(&line("shut")).await;
    browser.click("//label[contains(.,'Kind')]/select/option[.='reported']").await;
    browser.at("//*[@class='count'][.='1 lines']").await;
    browser.at(&line("\"angle\":30")).await;
    browser.click("//label[contains(.,'Kind')]/select/option[.='any']").await;
    browser.fill("//input[@name='device']", "x\u{8}").await;
    browser.fill("//input[@name='text']", "SEVEN").await;
    browser.at("//*[@class='count'][.='1 lines']").await;

    // Paused, it counts; going on, it shows. The whole line is below the list.
    browser.click("//button[.='Pause']").await;
    pump.tell("", "flow seven again").await;
    browser.at("//button[.='Continue (1 new)']").await;
    assert_eq!(browser.count(&line("again")).await, 0);
    browser.click("//button[starts-with(.,'Continue')]").await;
    browser.click(&line("again")).await;
    browser.at("//pre[contains(.,'\"body\": \"flow seven again\"')]").await;
    no_complaints(&browser).await;
    server.stop().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_devices_say_stays_text() {
    let Some(browser) = Browser::open("what_devices_say_stays_text").await else { return };
    let server = hub(None).await;
    // Characters that ids may have, and that mean something in addresses and scripts.
    let id = "a%3Cb?c='d;1";
    Device::register(&server, id);
    let Value::Object(tags) = json!({"ADUGroup": HOSTILE}) else { unreachable!("it is an object") };
    server.core().call(|cloud, _| cloud.set_tags(id, &tags)).expect("small");
    let mut device = Device::connect(&server, id, HOSTILE).await;
    let mut patch = json!({"deviceUpdate": {"agent": {"installedUpdateId": HOSTILE}}, "script": HOSTILE});
    patch[HOSTILE_KEY] = json!({HOSTILE_KEY: HOSTILE});
    device.report(patch).await;
    device.tell("", HOSTILE).await;

    browser.client.goto(&url(&server, "/dashboard/")).await.expect("a page");
    let shown = format!("//*[contains(@class,'devices')]//*[@role='row'][span[3]='{HOSTILE}'][span[4]='{HOSTILE}']");
    browser.at(&format!("{shown}[span[5]='{HOSTILE}']")).await;
    // An id as no hub allows it.
    browser
        .run(&format!(
            "const done = arguments[arguments.length - 1];
             import('/dashboard/model.js').then(({{ devices }}) => {{
               const [device] = devices.values();
               devices.set('{HOSTILE}', {{ ...device, deviceId: '{HOSTILE}' }});
               document.getElementById('device-filter').dispatchEvent(new Event('input'));
               done(true);
             }});"
        ))
        .await;
    browser.at(&row(HOSTILE)).await;
    browser.click("//*[contains(@class,'devices')]//a[contains(.,'a%3Cb')]").await;
    browser.at("//h2//*[@class='id'][starts-with(.,'a%3Cb?c=')]").await;
    browser.at(&format!("{}[td[2]='{HOSTILE}']", property("script"))).await;
    browser.at(&format!("{}[td[2]='{HOSTILE}']", property(&format!("{HOSTILE_KEY}.{HOSTILE_KEY}")))).await;
    browser
        .at("//*[contains(@class,'log')]//*[@role='row'][span[3]='telemetry'][contains(span[4],'<img src=x')]")
        .await;
    browser.client.goto(&url(&server, "/dashboard/#/log")).await.expect("a page");
    browser.click("//*[contains(@class,'log')]//*[@role='row'][span[4]='telemetry']").await;
    browser.at("//pre[contains(.,'<img src=x')]").await;
    assert_eq!(browser.count("//img | //*[@onerror]").await, 0);
    let pwned = browser.run("arguments[0](window.pwned === undefined)").await;
    assert_eq!(pwned, json!(true), "a script of a device has run");

    // And if a string ever got to where markup is parsed, the browser would refuse it.
    let refused = browser
        .run("try { document.body.innerHTML = '<b>x</b>'; arguments[0](''); } catch (error) { arguments[0](error.name); }")
        .await;
    assert_eq!(refused, json!("TypeError"));
    server.stop().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for_once() {
    let Some(browser) = Browser::open("a_token_is_asked_for_once").await else { return };
    let server = hub(Some("sesame")).await;
    Device::register(&server, "pump-1");
    let mut device = Device::connect(&server, "pump-1", "dtmi:contoso:pump;1").await;
    browser.client.goto(&url(&server, "/dashboard/#/device/pump-1")).await.expect("a page");
    browser.fill("//*[@id='edit-patch']", r#"{"rate": 1}"#).await;
    browser.click("//form[@aria-label='Change the twin']//button").await;
    browser.fill("//dialog[@open]//input", "wrong").await;
    browser.click("//dialog[@open]//button[.='Use it']").await;
    browser.at("//dialog[@open]//p[contains(.,\"not the hub's\")]").await;
    browser.fill("//dialog[@open]//input", "sesame").await;
    browser.click("//dialog[@open]//button[.='Use it']").await;
    let (_, patch) = device.receive("$iothub/twin/PATCH/properties/desired/").await;
    assert_eq!(patch["rate"], json!(1));

    // It is kept for the next change, also after loading the page again, and shown nowhere.
    browser.client.refresh().await.expect("loads again");
    browser.fill("//*[@id='message-body']", "hello").await;
    browser.click("//form[@aria-label='Send a message']//button").await;
    device.receive("devices/pump-1/messages/devicebound/").await;
    assert_eq!(browser.count("//dialog[@open]").await, 0);
    assert!(!browser.client.source().await.expect("a page").contains("sesame"));
    no_unexpected(&browser, &["401"]).await;
    server.stop().await.expect("stops");
}

/// Serves one page at every path, for ever.
async fn serve(page: String) -> std::net::SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    let page = Arc::new(page);
    let router = axum::Router::new().fallback(async move || axum::response::Html(page.to_string()));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_changes_and_reads_nothing() {
    let Some(browser) = Browser::open("a_page_of_another_origin_changes_and_reads_nothing").await else { return };
    let server = hub(None).await;
    Device::register(&server, "pump-1");
    let device = Device::connect(&server, "pump-1", "dtmi:contoso:pump;1").await;
    let other = serve("<!doctype html><title>elsewhere</title><iframe id=frame></iframe>".into()).await;
    browser.client.goto(&format!("http://{other}/")).await.expect("the other page");
    let target = url(&server, "");
    // All that a page can send without being asked for leave: simple requests, and one with preflight.
    let tried = browser
        .run(&format!(
            "const done = arguments[arguments.length - 1];
             const blind = (path, options) => fetch('{target}' + path, {{ mode: 'no-cors', ...options }})
               .then((answer) => answer.type, (error) => error.name);
             Promise.all([
               blind('/devices/pump-1/disconnect', {{ method: 'POST' }}),
               blind('/devices/pump-1/messages', {{ method: 'POST', body: '{{\"body\":\"x\"}}' }}),
               fetch('{target}/twins/pump-1', {{ method: 'PATCH', headers: {{ 'Content-Type': 'application/json' }},
                 body: '{{\"properties\":{{\"desired\":{{\"rate\":1}}}}}}' }}).then(() => 'done', (error) => error.name),
               fetch('{target}/devices').then(() => 'read', (error) => error.name),
             ]).then(done);"
        ))
        .await;
    assert_eq!(tried, json!(["opaque", "opaque", "TypeError", "TypeError"]), "as a browser calls what it keeps away");
    let (connected, waiting, desired) = server.core().look(|cloud, _, _| {
        let device = cloud.device("pump-1").expect("registered");
        (device.is_connected(), device.queued_messages(), device.twin().desired().clone())
    });
    assert!(connected && waiting == 0 && desired.is_empty(), "{connected} {waiting} {desired:?}");
    // Nor can it put the dashboard into a frame, for clicks that are meant for something else.
    browser
        .run(&format!(
            "const done = arguments[arguments.length - 1];
             const frame = document.getElementById('frame');
             frame.addEventListener('load', () => done(true));
             frame.src = '{target}/dashboard/';"
        ))
        .await;
    browser.client.clone().enter_frame(0).await.expect("a frame");
    assert_eq!(browser.count("//nav").await, 0, "the dashboard is in a frame");
    // Nor does it get there by a name of its own that points to the hub, which makes them one origin.
    let port = server.addresses().admin.port();
    browser.client.goto(&format!("http://elsewhere.test:{port}/devices")).await.expect("an answer");
    browser.at("//*[contains(.,'this hub is not `elsewhere.test')]").await;
    assert_eq!(browser.count("//*[contains(.,'pump-1')]").await, 0);
    drop(device);
    server.stop().await.expect("stops");
}

/// Loads a page anew in a window of the pictures' size.
async fn pose(browser: &Browser, address: &str) {
    browser.client.set_window_size(1200, 900).await.expect("a window");
    browser.client.goto(address).await.expect("a page");
    browser.client.refresh().await.expect("a page");
}

async fn picture(browser: &Browser, name: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    let image = browser.client.screenshot().await.expect("a picture");
    assert!(image.len() < 150_000, "{name} has {} bytes", image.len());
    std::fs::write(path, image).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes docs/dashboard.png"]
async fn pictures() {
    let browser = Browser::open("pictures").await.expect("pictures need a browser");
    let server = hub(None).await;
    Device::register(&server, "pump-1");
    let mut pump = Device::connect(&server, "pump-1", "dtmi:contoso:pump;1").await;
    pump.report(json!({"deviceUpdate": {"__t": "c", "agent": {"state": 0, "installedUpdateId": installed("1.2.0")}}}))
        .await;
    pump.report(json!({"rate": 10, "mode": "auto", "limits": {"low": 2, "high": 90}})).await;
    let desired = json!({"rate": 10, "limits": {"low": 2, "high": 80}, "interval": 60});
    server.core().call(|cloud, now| cloud.set_desired(now, "pump-1", &desired)).expect("small");
    pump.tell("", r#"{"flow": 7.2, "pressure": 3.1}"#).await;
    pose(&browser, &url(&server, "/dashboard/#/device/pump-1")).await;
    browser.at(&property("interval")).await;
    pump.report(json!({"rate": {"value": 10, "ac": 200, "av": 2, "ad": "set"}, "mode": "manual"})).await;
    browser.fill("//*[@id='edit-patch']", r#"{"rate": 20}"#).await;
    browser.click("//form[@aria-label='Change the twin']//button").await;
    browser.at(&format!("{}[td[1]/del='10']", property("rate"))).await;
    browser.at(&format!("{}[td[2]/del='auto']", property("mode"))).await;
    browser.client.execute("document.activeElement.blur(); scrollTo(0, 0)", vec![]).await.expect("a page");
    picture(&browser, "dashboard.png").await;
    server.stop().await.expect("stops");
}

/// A device of a group, with an agent that says what it is.
async fn agent(server: &Server, id: &str) -> Device {
    Device::register(server, id);
    let Value::Object(tags) = json!({"ADUGroup": "field"}) else { unreachable!("it is an object") };
    server.core().call(|cloud, _| cloud.set_tags(id, &tags)).expect("small");
    let model = "dtmi:azure:iot:deviceUpdateContractModel;2";
    let mut device = Device::connect(server, id, model).await;
    let properties = json!({"manufacturer": "Contoso", "model": "Pump", "contractModelId": model});
    let agent = json!({"deviceProperties": properties, "compatPropertyNames": "manufacturer,model", "state": 0});
    device.report(json!({"deviceUpdate": {"__t": "c", "agent": agent}})).await;
    device
}

fn import(server: &Server, version: &str) -> UpdateId {
    let id = UpdateId { provider: "Contoso".into(), name: "pump".into(), version: version.into() };
    let manifest =
        ImportManifest::firmware(id, "Contoso", "Pump", "pump.bin", version.as_bytes(), "2026-01-01T00:00:00.0000000Z");
    let files = [("pump.bin", version.as_bytes())];
    server.core().call(|cloud, now| cloud.import_update(now, &manifest, &files)).expect("imports")
}

/// The workflow of the deployment that a device gets.
async fn workflow(device: &mut Device) -> Value {
    let (_, mut patch) = device.receive("$iothub/twin/PATCH/properties/desired/").await;
    patch["deviceUpdate"]["service"]["workflow"].take()
}

/// Reports the end of a workflow.
async fn finish(device: &mut Device, workflow: &Value, version: &str, code: i64, details: &str) {
    let result = json!({"resultCode": code, "extendedResultCode": 0, "resultDetails": details});
    let mut whole = result.clone();
    whole["stepResults"] = json!({"step_0": result});
    let state = if code > 0 { 0 } else { 255 };
    let agent = json!({
        "state": state, "workflow": workflow, "installedUpdateId": installed(version), "lastInstallResult": whole,
    });
    device.report(json!({"deviceUpdate": {"__t": "c", "agent": agent}})).await;
}

fn cell(state: &str) -> String {
    format!("//*[local-name()='svg']/*[local-name()='rect'][@data-state='{state}']")
}

/// The row of a device in the list of a deployment's.
fn target(device: &str) -> String {
    format!("//*[contains(@class,'targets')]//*[@role='row'][span[1]='{device}']")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_started_retried_and_cancelled() {
    let Some(browser) = Browser::open("a_deployment_is_started_retried_and_cancelled").await else { return };
    let server = hub(None).await;
    import(&server, "2.0.0");
    let (mut a, mut b, mut c) =
        (agent(&server, "pump-a").await, agent(&server, "pump-b").await, agent(&server, "pump-c").await);
    browser.client.goto(&url(&server, "/dashboard/#/deployments")).await.expect("a page");
    browser.click("//select[@id='new-update']/option[.='Contoso/pump 2.0.0']").await;
    browser.click("//select[@id='new-group']/option[.='field']").await;
    browser.click("//form[@aria-label='Start a deployment']//button").await;
    browser.at("//form[@aria-label='Start a deployment']//output[contains(.,'is made')]").await;
    let row = "//table[@class='deployments']//tr[td[1]='Contoso/pump 2.0.0'][td[2]='group field'][td[3]='active']";
    browser.at(&format!("{row}[td[4]/small='3 in progress (100 %)']")).await;
    browser.click(&format!("{row}//a")).await;
    browser.at(&cell("InProgress")).await;
    browser.at("//li[@data-state='InProgress'][.='3 in progress 100 %']").await;

    let (work_a, work_b) = (workflow(&mut a).await, workflow(&mut b).await);
    workflow(&mut c).await;
    finish(&mut a, &work_a, "2.0.0", 700, "").await;
    finish(&mut b, &work_b, "1.0.0", 0, HOSTILE).await;
    browser.at("//li[@data-state='Succeeded'][.='1 succeeded 33.3 %']").await;
    browser.at("//li[@data-state='Failed'][.='1 failed 33.3 %']").await;
    browser.at(&format!("{}[span[2]='succeeded'][contains(span[5],'2.0.0 installed')]", target("pump-a"))).await;
    browser.at(&format!("{}[span[2]='failed'][contains(span[5],'{HOSTILE}')]", target("pump-b"))).await;
    browser.at(&format!("{}[span[2]='in progress'][contains(span[5],'pump-c')]", target("pump-c"))).await;
    for (state, cells) in [("Succeeded", 1), ("Failed", 1), ("InProgress", 1)] {
        assert_eq!(browser.count(&cell(state)).await, cells, "{state}");
    }
    assert_eq!(browser.count("//img").await, 0);

    // Only the failed one is asked again.
    browser.click("//button[.='Retry']").await;
    browser.at("//*[@id='deployment-said'][.='1 device was asked to try again']").await;
    let again = workflow(&mut b).await;
    assert!(again["id"] == work_b["id"] && again["retryTimestamp"].is_string(), "{again}");
    browser.at(&format!("{}[span[2]='in progress'][span[4]='2']", target("pump-b"))).await;
    browser.click("//select[@id='deployment-state']/option[.='succeeded']").await;
    browser.at("//*[@class='count'][.='1 of 3 devices']").await;
    browser.click("//select[@id='deployment-state']/option[.='any']").await;

    browser.click("//button[.='Cancel']").await;
    browser.at("//h2//*[@class='badge'][.='cancelled']").await;
    assert_eq!(workflow(&mut c).await["action"], json!(255));
    browser.at(&format!("{}[span[2]='cancelled']", target("pump-c"))).await;
    browser.at("//li[@data-state='Canceled'][.='2 cancelled 66.7 %']").await;
    browser.at(&format!("{}[span[2]='succeeded']", target("pump-a"))).await;
    no_complaints(&browser).await;
    server.stop().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_for_one_device_too_and_refused_with_the_reason() {
    let test = "a_deployment_is_for_one_device_too_and_refused_with_the_reason";
    let Some(browser) = Browser::open(test).await else { return };
    let server = hub(None).await;
    import(&server, "2.0.0");
    let mut device = agent(&server, "pump-a").await;
    browser.client.goto(&url(&server, "/dashboard/#/deployments")).await.expect("a page");
    browser.click("//select[@id='new-update']/option[.='Contoso/pump 2.0.0']").await;
    browser.click("//select[@id='new-kind']/option[.='device']").await;
    browser.fill("//input[@id='new-device']", "pump-z").await;
    browser.click("//form[@aria-label='Start a deployment']//button").await;
    browser.at("//form[@aria-label='Start a deployment']//output[@class='bad'][contains(.,'`pump-z`')]").await;
    browser.fill("//input[@id='new-device']", "pump-a").await;
    browser.click("//form[@aria-label='Start a deployment']//button").await;
    browser.at("//table[@class='deployments']//tr[td[2]='device pump-a'][td[3]='active']").await;
    assert_eq!(workflow(&mut device).await["action"], json!(3));
    // From the list as well.
    browser.click("//table[@class='deployments']//button[.='Cancel']").await;
    browser.at("//table[@class='deployments']//tr[td[2]='device pump-a'][td[3]='cancelled']").await;
    assert_eq!(workflow(&mut device).await["action"], json!(255));
    no_unexpected(&browser, &["404"]).await;
    server.stop().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes docs/dashboard-deployment.png"]
async fn picture_of_a_deployment() {
    let browser = Browser::open("picture_of_a_deployment").await.expect("pictures need a browser");
    let server = hub(None).await;
    let update = import(&server, "2.0.0");
    let mut agents = Vec::new();
    for number in 0..240 {
        let device = agent(&server, &format!("pump-{number:03}")).await;
        // Some are away when it starts.
        if number < 60 || number % 2 == 0 {
            agents.push(device);
        }
    }
    let new = NewDeployment {
        id: None,
        target: Target::Group("field".into()),
        update,
        start: None,
        rollback: None,
        options: DeployOptions::default(),
    };
    let id = server.core().call(|cloud, now| cloud.create_deployment(now, new)).expect("deploys");
    pose(&browser, &url(&server, &format!("/dashboard/#/deployment/{id}"))).await;
    browser.at("//li[@data-state='InProgress'][.='240 in progress 100 %']").await;
    for (number, device) in agents.iter_mut().enumerate().take(120) {
        let work = workflow(device).await;
        let code = if number % 17 == 5 { 0 } else { 700 };
        let (version, details) = if code == 0 { ("1.0.0", "checksum of pump.bin") } else { ("2.0.0", "") };
        finish(device, &work, version, code, details).await;
    }
    browser.at("//li[@data-state='Succeeded'][starts-with(.,'113 succeeded')]").await;
    picture(&browser, "dashboard-deployment.png").await;
    server.stop().await.expect("stops");
}
