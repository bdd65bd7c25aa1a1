//! One session with the hub.

use embassy_futures::select::{Either4, select4};
use embedded_storage::nor_flash::NorFlash;
use iot_hub::hub::{Client, Config, Event};
use iot_hub::mqtt::Receiver;
use iot_hub::sas;

use super::error::CloudError;
use super::link::Link;
use super::provision::{device_key, until};
use super::{Assignment, Buffers, Device, MODEL_ID, PRODUCT, Request, TOKEN_LIFE_S, now_ms, say_goodbye};
use crate::crypto::DeviceCrypto;
use crate::log::{info, warn};
use crate::net::Port;
use crate::settings::Settings;
use crate::supervision::sign_of_life;
use crate::{heartbeat, wall_clock};

/// Property bag of telemetry: JSON in UTF-8.
const CONTENT: &str = "$.ct=application%2Fjson&$.ce=utf-8";
/// The hub allows up to 1177 s; a broken connection should be noticed earlier.
const KEEP_ALIVE_S: u16 = 240;
/// Pause before the twin is asked for again, after the hub was too busy.
const TWIN_RETRY_MS: u64 = 5_000;

/// Why a session ended as planned.
pub(super) enum End {
    /// The update is handed over: reset the chip.
    Reset,
    /// The token has to be renewed: connect again.
    Renew,
}

/// Connects and serves until the session ends. Sets `was_ready` once all topics are subscribed.
pub(super) async fn session<F: NorFlash, N: NorFlash>(
    settings: &Settings<'_>,
    assignment: &Assignment,
    tls: &device_tls::Config,
    port: &'static Port,
    buffers: &mut Buffers,
    device: &mut Device<'_, F, N>,
    was_ready: &mut bool,
) -> Result<End, CloudError> {
    let Buffers { inbound, outbound, receive, transmit, report } = buffers;
    let host = assignment.host.as_str();
    let mut link = Link::open(host, tls, port, inbound, outbound).await?;
    let config = Config {
        host,
        device_id: &assignment.device_id,
        model_id: Some(MODEL_ID),
        product: PRODUCT,
        keep_alive_s: KEEP_ALIVE_S,
    };
    let mut client = Client::new(config);
    let mut receiver = Receiver::new(receive);

    let mut derived = [0; 32];
    let mut token = [0; sas::TOKEN_LEN];
    let issued = wall_clock::unix_time().unwrap_or(0);
    let expiry = issued + TOKEN_LIFE_S;
    let token = config.token(device_key(settings, &mut derived), expiry, &mut token)?;
    let renew_ms = now_ms() + (sas::renewal_time(issued, expiry) - issued) * 1000;
    let len = client.connect(token, now_ms(), transmit)?;
    link.send(&transmit[..len]).await?;

    let mut twin_retry_ms = None;
    loop {
        sign_of_life();
        let now = now_ms();
        if now >= renew_ms && !device.is_downloading {
            let len = client.disconnect(transmit)?;
            say_goodbye(link, &transmit[..len]).await;
            return Ok(End::Renew);
        }
        if twin_retry_ms.is_some_and(|at| now >= at) {
            twin_retry_ms = None;
            device.agent.twin_failed();
        }
        loop {
            let len = client.poll(now_ms(), transmit)?;
            if len == 0 {
                break;
            }
            link.send(&transmit[..len]).await?;
        }
        while client.is_ready() {
            let len = match device.poll(report) {
                Request::None => break,
                Request::Report(patch) => client.report(patch, now_ms(), transmit)?,
                Request::ReadTwin => client.read_twin(now_ms(), transmit)?,
                Request::Reset => {
                    let len = client.disconnect(transmit)?;
                    say_goodbye(link, &transmit[..len]).await;
                    return Ok(End::Reset);
                }
            };
            link.send(&transmit[..len]).await?;
        }

        let deadline = client.deadline().min(renew_ms).min(twin_retry_ms.unwrap_or(u64::MAX));
        let received = link.receive(receiver.space());
        match select4(received, heartbeat::next(), device.downloads.outcome(), until(deadline)).await {
            Either4::First(count) => receiver.filled(count?),
            Either4::Second(heartbeat) => {
                if client.is_ready() {
                    let body = heartbeat.json();
                    let (len, _) = client.telemetry(CONTENT, body.as_bytes(), false, now_ms(), transmit)?;
                    link.send(&transmit[..len]).await?;
                }
            }
            Either4::Third(outcome) => device.download_finished(outcome),
            Either4::Fourth(()) => {}
        }
        while let Some(packet) = receiver.packet()? {
            match client.handle(packet)? {
                Event::Connected => info!("hub: connected"),
                Event::Ready => {
                    *was_ready = true;
                    info!("hub: subscribed");
                    device.agent.connected();
                }
                Event::Twin { status: 200, document } => {
                    info!("twin: read");
                    if device.agent.twin(&DeviceCrypto, document).is_err() {
                        warn!("twin: not understood");
                    }
                    device.acknowledge_outcome();
                }
                Event::Twin { status, .. } => {
                    warn!("twin: status {}", status);
                    twin_retry_ms = Some(now_ms() + TWIN_RETRY_MS);
                }
                Event::Reported { status, .. } => {
                    if status >= 300 {
                        warn!("twin: report answered with {}", status);
                    }
                    device.agent.report_answered(status, now_ms());
                }
                Event::Desired { version, document } => {
                    info!("twin: desired version {}", version);
                    if device.agent.desired_patch(&DeviceCrypto, document).is_err() {
                        warn!("twin: not understood");
                    }
                }
                Event::Method { name, rid, .. } => {
                    // No methods are offered; the caller learns so at once instead of by a time-out.
                    warn!("hub: method {} is not offered", name);
                    let len = client.respond(rid, 404, "{}", now_ms(), transmit)?;
                    link.send(&transmit[..len]).await?;
                }
                Event::Message { .. } | Event::Delivered(_) | Event::Nothing => {}
            }
        }
    }
}
