//! The steps that scenarios are made of. docs/scenarios.md describes each one for users.

mod deploy;
mod download;
mod faults;
mod rollback;
mod start;
mod swap;
mod verdict;

pub(crate) use deploy::offer;
use serde::{Deserialize, Serialize};

use super::context::{Abort, Context};
use super::{ImageFault, Images, Scenario};

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The bootloader finds no `image.bin` and starts the old version.
    Boot,
    /// Link, DHCP, DNS, time.
    Network,
    /// TLS, provisioning, MQTT, twin, startup report.
    Cloud,
    /// The hub deploys the new version and the agent accepts it.
    Deployment,
    /// The hub deploys a forgery and the agent refuses it.
    ManifestRefused,
    /// The image is written block by block while the application runs.
    BlockWrite,
    /// The image differs from what was signed and the agent refuses it.
    DownloadRefused,
    /// The supply is cut during the download.
    PowerCutDownload,
    /// The device resets itself after the last block.
    Reset,
    /// The bootloader swaps the images.
    ImageSwap,
    /// The bootloader refuses the image.
    ImageRefused,
    /// The supply is cut during the swap.
    PowerCutSwap,
    /// The new version finds no network, and so never confirms itself in any of its starts.
    Unconfirmed,
    /// The bootloader restores the old version, which reports the deployment as failed.
    Rollback,
    /// The new version confirms itself, and the service judges the deployment.
    Report,
    /// What the scenario says goes wrong with time and services has gone wrong.
    FaultsActed,
}

impl Step {
    /// Its name in scenarios and reports.
    pub fn id(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Network => "network",
            Self::Cloud => "cloud",
            Self::Deployment => "deployment",
            Self::ManifestRefused => "manifest-refused",
            Self::BlockWrite => "block-write",
            Self::DownloadRefused => "download-refused",
            Self::PowerCutDownload => "power-cut-download",
            Self::Reset => "reset",
            Self::ImageSwap => "image-swap",
            Self::ImageRefused => "image-refused",
            Self::PowerCutSwap => "power-cut-swap",
            Self::Unconfirmed => "unconfirmed",
            Self::Rollback => "rollback",
            Self::Report => "report",
            Self::FaultsActed => "faults-acted",
        }
    }

    /// Does it.
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<(), Abort> {
        match self {
            Self::Boot => start::boot(context),
            Self::Network => start::network(context),
            Self::Cloud => start::cloud(context),
            Self::Deployment => deploy::deployment(context),
            Self::ManifestRefused => deploy::manifest_refused(context),
            Self::BlockWrite => download::block_write(context),
            Self::DownloadRefused => download::download_refused(context),
            Self::PowerCutDownload => download::power_cut(context),
            Self::Reset => swap::reset(context),
            Self::ImageSwap => swap::image_swap(context),
            Self::ImageRefused => swap::image_refused(context),
            Self::PowerCutSwap => swap::power_cut(context),
            Self::Unconfirmed => rollback::unconfirmed(context),
            Self::Rollback => rollback::rollback(context),
            Self::Report => verdict::report(context),
            Self::FaultsActed => faults::acted(context),
        }
    }
}

/// The image that a scenario deploys: the new version, forged if the scenario says so.
pub(super) fn deployed_image(scenario: &Scenario, images: &Images) -> Vec<u8> {
    let mut image = images.new.clone();
    if scenario.faults.image == Some(ImageFault::ForgedSignature) {
        // The signature is the last TLV, and so the image's last bytes.
        if let Some(last) = image.last_mut() {
            *last ^= 1;
        }
    }
    image
}

#[cfg(test)]
mod tests {
    use super::Step;

    #[test]
    fn step_is_called_the_same_in_scenarios_and_reports() {
        for step in
            [Step::Boot, Step::BlockWrite, Step::PowerCutDownload, Step::Unconfirmed, Step::Rollback, Step::FaultsActed]
        {
            assert_eq!(serde_json::to_value(step).unwrap(), step.id());
        }
    }
}
