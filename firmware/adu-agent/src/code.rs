//! Result codes that leave the device.

/// `resultCode` values of the Device Update contract. Greater than zero means success.
pub mod result {
    /// The deployment failed; the extended result code says why.
    pub const FAILURE: i32 = 0;
    /// The deployment was cancelled.
    pub const CANCELLED: i32 = -1;
    /// The deployment has been accepted and is going on.
    pub const IN_PROGRESS: i32 = 400;
    /// The update has been applied, or was already installed.
    pub const APPLIED: i32 = 700;
}

/// `extendedResultCode` values: why a deployment failed.
///
/// Operators read these in reports and build alarms on them. DO NOT REORDER OR REUSE: add new ones at the end of their
/// group. Layout as in the reference agent: facility (bits 28 to 31, here 3), component (bits 20 to 27, the groups
/// below), value.
#[repr(i32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Code {
    /// No error.
    #[default]
    None = 0,

    // Component 1: the deployment document.
    /// `updateManifest` is missing or not a string.
    NoManifest = 0x3010_0001,
    /// `updateManifestSignature` is missing or not a string.
    NoSignature = 0x3010_0002,
    /// `fileUrls` has no usable entry for the file of the update.
    NoFileUrl = 0x3010_0003,
    /// The URL is not `http://host[:port]/path`, or longer than 512 bytes.
    BadFileUrl = 0x3010_0004,

    // Component 2: the signature.
    /// The signature is not a JWS of three base64url parts with JSON inside.
    MalformedSignature = 0x3020_0001,
    /// An algorithm other than RS256.
    Algorithm = 0x3020_0002,
    /// The signing key is not signed under a root key that this device knows.
    UnknownRootKey = 0x3020_0003,
    /// The root key's signature over the signing key is wrong.
    SigningKeySignature = 0x3020_0004,
    /// The signing key is not an RSA key of 3072 bits with exponent 65537.
    SigningKey = 0x3020_0005,
    /// The signing key's signature is wrong.
    Signature = 0x3020_0006,
    /// The signature is for another manifest.
    ManifestHash = 0x3020_0007,

    // Component 3: the update manifest.
    /// The manifest is not JSON or lacks a mandatory member.
    MalformedManifest = 0x3030_0001,
    /// The manifest version is neither 4 nor 5.
    ManifestVersion = 0x3030_0002,
    /// Provider, name or version of the update is missing, too long or has unusual characters.
    UpdateId = 0x3030_0003,
    /// No step, more than 10, or more than the one that a device with a single image can take.
    StepCount = 0x3030_0004,
    /// A step that refers to another update.
    ReferenceStep = 0x3030_0005,
    /// A step handler other than `microsoft/swupdate:1`.
    Handler = 0x3030_0006,
    /// Not exactly one file in the step, or more than 10 in the manifest.
    FileCount = 0x3030_0007,
    /// The step's file is missing from the manifest, or lacks size or SHA-256.
    File = 0x3030_0008,
    /// The file is empty or does not fit the device.
    FileSize = 0x3030_0009,
    /// The manifest is only a pointer to a detached one.
    DetachedManifest = 0x3030_000A,

    // Component 4: the device.
    /// The update is not for this manufacturer, model or other property.
    Incompatible = 0x3040_0001,

    // Component 5: the download.
    /// The server could not be reached or did not answer properly, again and again.
    DownloadNetwork = 0x3050_0001,
    /// The server refuses the file (4xx).
    DownloadRefused = 0x3050_0002,
    /// The file's length is not the manifest's.
    DownloadSize = 0x3050_0003,
    /// What was stored does not have the manifest's SHA-256.
    DownloadHash = 0x3050_0004,
    /// External flash failed or is full.
    DownloadStorage = 0x3050_0005,

    // Component 6: installation and start.
    /// The image could not be handed to the bootloader.
    InstallStorage = 0x3060_0001,
    /// The bootloader never installed the image, although it was asked several times.
    NotInstalled = 0x3060_0002,
    /// The bootloader refused the image: signature, format, board or security counter.
    ImageRefused = 0x3060_0003,
    /// The bootloader restored the previous image, because the new one never confirmed itself.
    RolledBack = 0x3060_0004,
    /// The new image runs but has another version than the manifest says.
    OtherVersion = 0x3060_0005,
    /// The new image could not be confirmed to the bootloader.
    ConfirmFailed = 0x3060_0006,
}

impl Code {
    const ALL: [Self; 34] = [
        Self::None,
        Self::NoManifest,
        Self::NoSignature,
        Self::NoFileUrl,
        Self::BadFileUrl,
        Self::MalformedSignature,
        Self::Algorithm,
        Self::UnknownRootKey,
        Self::SigningKeySignature,
        Self::SigningKey,
        Self::Signature,
        Self::ManifestHash,
        Self::MalformedManifest,
        Self::ManifestVersion,
        Self::UpdateId,
        Self::StepCount,
        Self::ReferenceStep,
        Self::Handler,
        Self::FileCount,
        Self::File,
        Self::FileSize,
        Self::DetachedManifest,
        Self::Incompatible,
        Self::DownloadNetwork,
        Self::DownloadRefused,
        Self::DownloadSize,
        Self::DownloadHash,
        Self::DownloadStorage,
        Self::InstallStorage,
        Self::NotInstalled,
        Self::ImageRefused,
        Self::RolledBack,
        Self::OtherVersion,
        Self::ConfirmFailed,
    ];

    /// The code with this number, if there is one.
    pub fn from_i32(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|code| *code as i32 == number)
    }
}
