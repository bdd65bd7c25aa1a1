//! A headless Chromium, and devices for it to look at.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hub_server::config::Ports;
use hub_server::{Config, Server};
use hyper_util::client::legacy::connect::HttpConnector;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinHandle;

/// After so long, what a test waits for will not come.
const PATIENCE: Duration = Duration::from_secs(60);

const CHROMIUM: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
const DRIVER: &str = "chromedriver";

/// One browser at a time: it is many processes.
static TURN: Mutex<()> = Mutex::const_new(());

/// A browser of its own, with an empty profile.
pub struct Browser {
    pub client: Client,
    driver: Driver,
    _turn: MutexGuard<'static, ()>,
}

/// ChromeDriver, which ends its browser when it is told to shut down.
struct Driver {
    child: Child,
    port: u16,
    profile: PathBuf,
}

impl Drop for Driver {
    fn drop(&mut self) {
        if self.ask("GET", "/shutdown", "").is_err() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

fn program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    names.iter().find_map(|name| std::env::split_paths(&path).map(|folder| folder.join(name)).find(|at| at.is_file()))
}

impl Browser {
    /// Starts one; `None`, and a line that says why, if there is none. In CI there has to be one.
    pub async fn open(test: &str) -> Option<Self> {
        let (Some(chromium), Some(driver)) = (program(&CHROMIUM), program(&[DRIVER])) else {
            let why = "chromium or chromedriver is missing (Debian: chromium, chromium-driver)";
            assert!(std::env::var_os("CI").is_none(), "{test}: {why}");
            eprintln!("{test}: skipped: {why}");
            return None;
        };
        let turn = TURN.lock().await;
        let profile = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chromium-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&profile);
        std::fs::create_dir_all(&profile).expect("the profile's folder can be made");
        let driver = Driver::start(&driver, profile);
        let options = json!({
            "binary": chromium,
            "args": [
                // The sandbox needs what containers do not give; every page here is the test's own.
                "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--window-size=1280,900", "--lang=en",
                // As a page's owner can have it.
                "--host-resolver-rules=MAP elsewhere.test 127.0.0.1",
                format!("--user-data-dir={}", driver.profile.display()),
            ],
        });
        let capabilities = json!({"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}});
        let Value::Object(capabilities) = capabilities else { unreachable!("it is an object") };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{}", driver.port))
            .await
            .unwrap_or_else(|error| panic!("Chromium does not start: {error}"));
        Some(Self { client, driver, _turn: turn })
    }

    /// The element at an XPath, as soon as there is one.
    pub async fn at(&self, xpath: &str) -> Element {
        match self.client.wait().at_most(PATIENCE).for_element(Locator::XPath(xpath)).await {
            Ok(element) => element,
            Err(error) => {
                let script = "return location.href + '\\n' + document.body.innerText";
                let page = self.client.execute(script, vec![]).await.unwrap_or_default();
                panic!("{xpath}: {error}\nthe page:\n{}", page.as_str().unwrap_or_default())
            }
        }
    }

    /// Clicks what is at an XPath.
    pub async fn click(&self, xpath: &str) {
        self.at(xpath).await.click().await.unwrap_or_else(|error| panic!("{xpath}: {error}"));
    }

    /// Types into what is at an XPath, after emptying it.
    pub async fn fill(&self, xpath: &str, text: &str) {
        let element = self.at(xpath).await;
        element.clear().await.expect("can be emptied");
        element.send_keys(text).await.expect("takes keys");
    }

    /// How many elements an XPath has now.
    pub async fn count(&self, xpath: &str) -> usize {
        self.client.find_all(Locator::XPath(xpath)).await.expect("a page").len()
    }

    /// Runs a script of the page's, which calls its last argument with the result.
    pub async fn run(&self, script: &str) -> Value {
        self.client.execute_async(script, vec![]).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// What the browser has complained about since the last call: errors of scripts, refused loads.
    pub async fn complaints(&self) -> Vec<String> {
        let session = self.client.session_id().await.expect("a session").unwrap_or_default();
        let body = r#"{"type":"browser"}"#;
        let answer = self.driver.ask("POST", &format!("/session/{session}/se/log"), body).expect("the driver answers");
        let body: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
        let entries = body["value"].as_array().cloned().unwrap_or_else(|| panic!("{body}"));
        entries.iter().map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

impl Driver {
    /// A request to the driver itself; yields the body of its answer.
    fn ask(&self, method: &str, path: &str, body: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        let len = body.len();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len}\r\n\r\n{body}")?;
        let mut answer = BufReader::new(stream);
        let mut len = 0;
        loop {
            let mut line = String::new();
            answer.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                len = value.trim().parse().map_err(std::io::Error::other)?;
            }
        }
        // It keeps the connection open.
        let mut body = String::new();
        answer.take(len).read_to_string(&mut body)?;
        Ok(body)
    }

    fn start(program: &Path, profile: PathBuf) -> Self {
        let mut child = Command::new(program)
            .args(["--port=0", "--log-level=WARNING"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut driver = Self { child, port: 0, profile };
        let mut said = String::new();
        loop {
            let mut line = String::new();
            assert!(output.read_line(&mut line).is_ok_and(|len| len > 0), "chromedriver has ended: {said}");
            said += &line;
            let port = line.split_once("successfully on port ").map(|(_, port)| port.trim().trim_end_matches('.'));
            if let Some(port) = port.and_then(|port| port.parse().ok()) {
                // It writes more, which nobody reads; the pipe must not close under it, nor fill.
                std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
                driver.port = port;
                return driver;
            }
        }
    }
}

/// A hub in memory, on ports that the system chooses.
pub async fn hub(token: Option<&str>) -> Server {
    let config = Config {
        ports: Ports { mqtts: 0, mqtt: Some(0), files: 0, admin: 0 },
        token: token.map(str::to_owned),
        ..Config::default()
    };
    Server::start_with(&config, hub::Keys::fixtures()).await.expect("a hub on loopback")
}

/// Where the hub's pages are.
pub fn url(server: &Server, path: &str) -> String {
    format!("http://{}{path}", server.addresses().admin)
}

/// Percent-encodes everything but the unreserved characters of RFC 3986.
fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |escaped, byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped + &char::from(byte).to_string(),
        byte => format!("{escaped}%{byte:02X}"),
    })
}

/// A device that is connected by MQTT: it answers methods with what it was called with.
pub struct Device {
    id: String,
    client: AsyncClient,
    /// Topics and bodies of what the hub sends.
    pub inbox: mpsc::UnboundedReceiver<(String, Value)>,
    task: JoinHandle<()>,
}

impl Drop for Device {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const KEY: &[u8] = b"a key of a device that tests use";

impl Device {
    /// Registers a device.
    pub fn register(server: &Server, id: &str) {
        let attestation = hub::Attestation::symmetric(KEY.to_vec());
        server.core().call(|cloud, _| cloud.register_device(id, attestation)).expect("a new device");
    }

    /// Connects a registered device and subscribes it to everything.
    pub async fn connect(server: &Server, id: &str, model: &str) -> Self {
        let resource = format!("localhost%2Fdevices%2F{}", escape(id));
        let expiry = u64::from(u32::MAX);
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, KEY);
        let signature = STANDARD.encode(ring::hmac::sign(&key, format!("{resource}\n{expiry}").as_bytes()));
        let password = format!("SharedAccessSignature sr={resource}&sig={}&se={expiry}", escape(&signature));
        let address = server.addresses().mqtt.expect("MQTT was asked for");
        let mut options = MqttOptions::new(id, address.ip().to_string(), address.port());
        let user = format!("localhost/{id}/?api-version=2021-04-12&model-id={}", escape(model));
        options.set_credentials(user, password).set_max_packet_size(300_000, 300_000);
        let (client, mut events) = AsyncClient::new(options, 100);
        let (outbox, inbox) = mpsc::unbounded_channel();
        let (ready, mut subscribed) = mpsc::unbounded_channel();
        let answers = client.clone();
        let task = tokio::spawn(async move {
            loop {
                // It connects again, as devices do; but not in haste to a hub that has ended.
                let Ok(event) = events.poll().await else {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                match event {
                    Event::Incoming(Packet::SubAck(_)) => drop(ready.send(())),
                    Event::Incoming(Packet::Publish(publish)) => {
                        if let Some(rest) = publish.topic.strip_prefix("$iothub/methods/POST/")
                            && let Some((_, rid)) = rest.split_once("/?")
                        {
                            let topic = format!("$iothub/methods/res/200/?{rid}");
                            let _ = answers.publish(topic, QoS::AtMostOnce, false, publish.payload.clone()).await;
                        }
                        let body = serde_json::from_slice(&publish.payload)
                            .unwrap_or_else(|_| String::from_utf8_lossy(&publish.payload).into());
                        let _ = outbox.send((publish.topic, body));
                    }
                    _ => {}
                }
            }
        });
        let device = Self { id: id.to_owned(), client, inbox, task };
        let filters = [
            "$iothub/twin/res/#".to_owned(),
            "$iothub/twin/PATCH/properties/desired/#".to_owned(),
            "$iothub/methods/POST/#".to_owned(),
            format!("devices/{}/messages/devicebound/#", device.id),
        ];
        for filter in filters {
            device.client.subscribe(filter, QoS::AtLeastOnce).await.expect("the client lives");
            tokio::time::timeout(PATIENCE, subscribed.recv()).await.expect("subscribed in time").expect("subscribed");
        }
        device
    }

    /// Reports properties; the hub has them when this returns.
    pub async fn report(&mut self, patch: Value) {
        let topic = "$iothub/twin/PATCH/properties/reported/?$rid=1";
        self.client.publish(topic, QoS::AtLeastOnce, false, patch.to_string()).await.expect("the client lives");
        let answer = self.receive("$iothub/twin/res/").await;
        assert!(answer.0.starts_with("$iothub/twin/res/204/"), "{answer:?}");
    }

    /// Sends telemetry.
    pub async fn tell(&self, bag: &str, body: &str) {
        let topic = format!("devices/{}/messages/events/{bag}", self.id);
        self.client.publish(topic, QoS::AtLeastOnce, false, body).await.expect("the client lives");
    }

    /// The next message of the hub under a topic.
    pub async fn receive(&mut self, prefix: &str) -> (String, Value) {
        let found = async {
            loop {
                let message = self.inbox.recv().await.expect("the client lives");
                if message.0.starts_with(prefix) {
                    return message;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("nothing under {prefix}"))
    }
}
