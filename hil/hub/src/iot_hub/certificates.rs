//! CA certificates whose holders vouch for devices.
//!
//! As at the service, one counts only once its holder has proved to have the private key: by a certificate that it
//! signed for a code that the hub made up, or by an administrator's word.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sim_base::Instant;

use super::twins::precondition;
use super::{Hub, HubError};
use crate::durable;
use crate::utc::Utc;
use crate::x509;

/// A CA certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaCertificate {
    /// Its name in the registry.
    pub name: String,
    /// DER.
    #[serde(with = "durable::bytes")]
    pub certificate: Vec<u8>,
    /// Whether it counts.
    pub verified: bool,
    /// The common name of the certificate that proves possession of the key, once it was asked for.
    pub verification_code: Option<String>,
    #[serde(with = "durable::instant")]
    created: Instant,
    #[serde(with = "durable::instant")]
    updated: Instant,
    revision: u64,
}

impl CaCertificate {
    /// Changes with it.
    pub fn etag(&self) -> String {
        format!("{:016x}", self.revision)
    }

    /// What the registry shows of it.
    pub fn document(&self, utc: Utc) -> Value {
        let info = x509::describe(&self.certificate).ok();
        json!({
            "name": self.name,
            "etag": self.etag(),
            "properties": {
                "subject": info.as_ref().map(|info| info.subject_name.clone()),
                "notAfter": info.as_ref().map(|info| info.not_after),
                "thumbprint": info.as_ref().map(|info| info.sha1_thumbprint),
                "isVerified": self.verified,
                "verificationCode": self.verification_code,
                "created": utc.format(self.created),
                "updated": utc.format(self.updated),
            },
        })
    }
}

impl Hub {
    /// The CA certificates, by name.
    pub fn certificates(&self) -> impl Iterator<Item = &CaCertificate> {
        self.certificates.values()
    }

    /// Those that count, DER.
    pub(crate) fn trusted(&self) -> impl Iterator<Item = &[u8]> {
        self.certificates.values().filter(|ca| ca.verified).map(|ca| ca.certificate.as_slice())
    }

    /// Adds a CA certificate (PEM or DER), or replaces the one of that name; `verified` is the administrator's word that
    /// its holder has the key.
    ///
    /// # Errors
    /// [`HubError::Certificate`] if it is not a CA's.
    pub fn add_certificate(
        &mut self,
        now: Instant,
        name: &str,
        certificate: &[u8],
        verified: bool,
    ) -> Result<&CaCertificate, HubError> {
        let wrong = |why: String| HubError::Certificate { name: name.to_owned(), why };
        let certificate = x509::read(certificate).map_err(wrong)?;
        if !x509::describe(&certificate).map_err(wrong)?.is_ca {
            return Err(wrong("it may not issue certificates (basic constraints)".into()));
        }
        let before = self.certificates.get(name);
        let ca = CaCertificate {
            name: name.to_owned(),
            certificate,
            verified,
            verification_code: None,
            created: before.map_or(now, |ca| ca.created),
            updated: now,
            revision: before.map_or(1, |ca| ca.revision + 1),
        };
        self.certificates.insert(name.to_owned(), ca);
        self.certificate_changed(name);
        self.certificates.get(name).ok_or_else(|| HubError::NoCertificate(name.to_owned()))
    }

    /// Makes up the code that has to be the common name of a certificate signed by this one.
    ///
    /// # Errors
    /// [`HubError::NoCertificate`].
    pub fn verification_code(&mut self, now: Instant, name: &str) -> Result<String, HubError> {
        let code = format!("{:016X}{:016X}{:016X}", self.rng.next_u64(), self.rng.next_u64(), self.rng.next_u64());
        self.counted();
        let ca = self.certificates.get_mut(name).ok_or_else(|| HubError::NoCertificate(name.to_owned()))?;
        ca.verification_code = Some(code.clone());
        ca.updated = now;
        ca.revision += 1;
        self.certificate_changed(name);
        Ok(code)
    }

    /// Takes the certificate (PEM or DER) that proves that the CA's holder has its key.
    ///
    /// # Errors
    /// [`HubError::Certificate`] if it is not for the code, or not signed by the CA.
    pub fn verify_certificate(&mut self, now: Instant, name: &str, proof: &[u8]) -> Result<(), HubError> {
        let unix = self.utc.seconds(now);
        let ca = self.certificates.get_mut(name).ok_or_else(|| HubError::NoCertificate(name.to_owned()))?;
        let wrong = |why: String| HubError::Certificate { name: name.to_owned(), why };
        let Some(code) = &ca.verification_code else {
            return Err(wrong("no verification code was asked for".into()));
        };
        let proof = x509::read(proof).map_err(wrong)?;
        let named = x509::common_name(&proof).map_err(wrong)?;
        if !named.eq_ignore_ascii_case(code) {
            return Err(wrong(format!("the proof is for `{named}`, not for the code `{code}`")));
        }
        x509::check_chain(&[proof], &[&ca.certificate], unix).map_err(wrong)?;
        ca.verified = true;
        ca.updated = now;
        ca.revision += 1;
        self.certificate_changed(name);
        Ok(())
    }

    /// Removes a CA certificate; connections that it vouched for stay.
    ///
    /// # Errors
    /// [`HubError::NoCertificate`], [`HubError::Precondition`].
    pub fn remove_certificate(&mut self, name: &str, if_match: Option<&str>) -> Result<(), HubError> {
        let ca = self.certificates.get(name).ok_or_else(|| HubError::NoCertificate(name.to_owned()))?;
        precondition(name, if_match, &ca.etag())?;
        self.certificates.remove(name);
        self.certificate_changed(name);
        Ok(())
    }
}
