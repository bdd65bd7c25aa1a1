//! From power-on to a device that its hub knows.

use std::time::Duration;

use hub::EventKind as Cloud;
use same54_sim::EventKind as BoardEvent;
use sim_lan::LanEvent;

use super::super::context::{Abort, Context};
use super::super::{NEW, OLD};
use crate::rig::{DEVICE, DPS_HOST, HUB_HOST, MANUFACTURER, MODEL, Running, What};
use update_image::layout;

/// Virtual time for a connection with a service; a device that was told a wrong time may need three minutes.
const CONNECTING: Duration = Duration::from_secs(180);
const MODEL_ID: &str = "dtmi:azure:iot:deviceUpdateContractModel;";

pub fn boot(context: &mut Context<'_>) -> Result<(), Abort> {
    context.rig.start()?;
    context.expect("reset released", Duration::from_secs(1), |seen| {
        matches!(seen.what, What::Board(BoardEvent::Reset(_))).then_some(())
    })?;
    context.expect("bootloader runs", Duration::from_secs(1), |seen| {
        matches!(seen.what, What::Running(Running::Bootloader)).then_some(())
    })?;
    let since = context.rig.now();
    let running = context.expect("application starts", Duration::from_secs(10), |seen| match &seen.what {
        What::Running(Running::Application(version)) => Some(version.clone()),
        _ => None,
    })?;
    context.check_eq("version that runs", OLD.to_owned(), running)?;
    let absent = context.rig.nor().file_len(layout::IMAGE_BIN).is_none();
    context.check("image.bin on external flash", "absent", if absent { "absent" } else { "there" }, absent)?;
    context.figure("ms in bootloader", context.rig.now().since(since).as_millis() as u64);
    Ok(())
}

pub fn network(context: &mut Context<'_>) -> Result<(), Abort> {
    let ip = context.expect("DHCP lease", Duration::from_secs(30), |seen| match &seen.what {
        What::Lan(LanEvent::DhcpLease { ip, .. }) => Some(*ip),
        _ => None,
    })?;
    context.check("DHCP lease over GMAC and PHY", "an address of 10.54.0.0/24", ip, ip.octets()[..3] == [10, 54, 0])?;
    let name = context.expect("DNS query", Duration::from_secs(20), |seen| match &seen.what {
        What::Lan(LanEvent::DnsQuery { name, answer: Some(_) }) => Some(name.clone()),
        _ => None,
    })?;
    context.check("name resolved", "a name of the LAN", name, true)?;
    context.expect("SNTP reply", Duration::from_secs(20), |seen| {
        matches!(seen.what, What::Lan(LanEvent::NtpReply { .. })).then_some(())
    })?;
    context.check("time", "an SNTP reply", "sent", true)?;
    Ok(())
}

pub fn cloud(context: &mut Context<'_>) -> Result<(), Abort> {
    let (version, suite) = tls(context, DPS_HOST)?;
    context.check_eq("TLS version with provisioning", "TLSv1_2".to_owned(), version)?;
    context.check_eq("cipher suite", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".to_owned(), suite)?;
    let device = context.expect("provisioned", CONNECTING, |seen| match &seen.what {
        What::Cloud(Cloud::DpsAssigned { device, .. }) => Some(device.clone()),
        _ => None,
    })?;
    context.check_eq("device assigned by DPS", DEVICE.to_owned(), device)?;
    let (version, _) = tls(context, HUB_HOST)?;
    context.check_eq("TLS version with the hub", "TLSv1_2".to_owned(), version)?;
    let model = context.expect("MQTT connect", Duration::from_secs(30), |seen| match &seen.what {
        What::Cloud(Cloud::Connected { model_id, .. }) => Some(model_id.clone().unwrap_or_default()),
        _ => None,
    })?;
    let known = model.starts_with(MODEL_ID) || model.starts_with("dtmi:azure:iot:deviceUpdateModel;");
    context.check("model announced in CONNECT", "a Device Update model", &model, known)?;
    // The two may come in either order.
    let (mut read, mut startup) = (false, None);
    let patch = context.expect("twin read and startup report", Duration::from_secs(30), |seen| {
        match &seen.what {
            What::Cloud(Cloud::TwinRead { .. }) => read = true,
            What::Cloud(Cloud::Reported { patch, .. })
                if patch.pointer("/deviceUpdate/agent/deviceProperties").is_some() =>
            {
                startup = Some(patch.clone());
            }
            _ => {}
        }
        startup.clone().filter(|_| read)
    })?;
    context.check("twin", "read by the device", "read", true)?;
    let property = |path: &str| patch.pointer(path).and_then(|value| value.as_str()).unwrap_or("none").to_owned();
    let properties = "/deviceUpdate/agent/deviceProperties";
    context.check_eq(
        "reported manufacturer",
        MANUFACTURER.to_owned(),
        property(&format!("{properties}/manufacturer")),
    )?;
    context.check_eq("reported model", MODEL.to_owned(), property(&format!("{properties}/model")))?;
    let compat = property("/deviceUpdate/agent/compatPropertyNames");
    context.check_eq("compatPropertyNames", "manufacturer,model".to_owned(), compat)?;
    let early = patch.to_string().contains(NEW);
    context.check(
        "startup report",
        format!("says nothing of {NEW}"),
        format!("says {} of {NEW}", if early { "something" } else { "nothing" }),
        !early,
    )?;
    Ok(())
}

fn tls(context: &mut Context<'_>, host: &str) -> Result<(String, String), Abort> {
    Ok(context.expect(&format!("TLS with {host}"), CONNECTING, |seen| match &seen.what {
        What::Cloud(Cloud::TlsEstablished { sni: Some(sni), version, suite, .. }) if sni == host => {
            Some((version.clone(), suite.clone()))
        }
        _ => None,
    })?)
}
