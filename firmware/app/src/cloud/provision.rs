//! Registration with the Device Provisioning Service.

use embassy_futures::select::{Either, select};
use embassy_time::{Instant, Timer};
use iot_hub::dps::{Client, Config, Event};
use iot_hub::mqtt::Receiver;
use iot_hub::sas;

use super::error::CloudError;
use super::link::Link;
use super::{Assignment, Buffers, MODEL_ID, PRODUCT, TOKEN_LIFE_S, now_ms, say_goodbye};
use crate::net::Port;
use crate::settings::{Route, Settings};
use crate::supervision::sign_of_life;
use crate::wall_clock;

/// The device's own key: as recorded, or derived from a group's.
pub(super) fn device_key<'k>(settings: &'k Settings<'_>, derived: &'k mut [u8; 32]) -> &'k [u8] {
    match settings.route {
        Route::Dps { registration_id, .. } if settings.is_group_key => {
            *derived = sas::derive_device_key(settings.key, registration_id);
            derived
        }
        _ => settings.key,
    }
}

/// Asks the service which hub the device belongs to.
pub(super) async fn register(
    settings: &Settings<'_>,
    tls: &device_tls::Config,
    port: &'static Port,
    buffers: &mut Buffers,
) -> Result<Assignment, CloudError> {
    let Route::Dps { host, id_scope, registration_id } = settings.route else {
        return Err(CloudError::Name);
    };
    let Buffers { inbound, outbound, receive, transmit, .. } = buffers;
    let mut link = Link::open(host, tls, port, inbound, outbound).await?;
    let config = Config { id_scope, registration_id, model_id: Some(MODEL_ID), product: PRODUCT };
    let mut client = Client::new(config);
    let mut receiver = Receiver::new(receive);

    let mut derived = [0; 32];
    let mut token = [0; sas::TOKEN_LEN];
    let expiry = wall_clock::unix_time().unwrap_or(0) + TOKEN_LIFE_S;
    let token = config.token(device_key(settings, &mut derived), expiry, &mut token)?;
    let len = client.connect(token, now_ms(), transmit)?;
    link.send(&transmit[..len]).await?;
    loop {
        sign_of_life();
        loop {
            let len = client.poll(now_ms(), transmit)?;
            if len == 0 {
                break;
            }
            link.send(&transmit[..len]).await?;
        }
        match select(link.receive(receiver.space()), until(client.deadline())).await {
            Either::First(count) => receiver.filled(count?),
            Either::Second(()) => {}
        }
        let mut assignment = None;
        while let Some(packet) = receiver.packet()? {
            match client.handle(packet, now_ms())? {
                Event::Nothing => {}
                Event::Assigned(assigned) => {
                    assignment = Some(Assignment::new(assigned.hub_host, assigned.device_id).ok_or(CloudError::Name)?);
                }
                Event::Failed { status, error_code } => {
                    return Err(CloudError::Refused(if error_code == 0 { status.into() } else { error_code }));
                }
            }
        }
        if let Some(assignment) = assignment {
            let len = client.disconnect(transmit)?;
            say_goodbye(link, &transmit[..len]).await;
            return Ok(assignment);
        }
    }
}

/// Waits until `deadline` milliseconds since start, at most half a minute: waiting, too, is a sign of life.
pub(super) async fn until(deadline: u64) {
    let at = Instant::from_millis(deadline.min(now_ms() + super::LIFE_PERIOD.as_millis()));
    Timer::at(at).await;
}
