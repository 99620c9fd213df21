//! Makes certificates. A new CA comes with a bridge: its own key in a certificate that the CA before it signed, served
//! after the certificate of the webhook. A client that knows only the earlier CA goes over the bridge, so nobody has to
//! learn of the new one in time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};

use super::{BACKDATED, CA_LIFETIME, Error, Issued, LEAF_LIFETIME, check};

/// Bridges that are served at most, and so the CAs that a CA may have below it.
const MAX_BRIDGES: u8 = 4;

/// Makes a CA and a serving certificate.
pub fn issue(dns_names: &[String], now: SystemTime) -> Result<Issued, Error> {
    let key = new_key()?;
    let ca = ca_params(now).self_signed(&key).map_err(Error::Issue)?;
    sign(ca.pem(), "", &key, dns_names, now)
}

/// Makes a new serving certificate with the CA that is there. CAs and bridges that have ended are left out.
pub fn renew(old: &Issued, dns_names: &[String], now: SystemTime) -> Result<Issued, Error> {
    let key = KeyPair::from_pem(&old.ca_key_pem).map_err(Error::Issue)?;
    sign(living_cas(old, MAX_BRIDGES + 1, now), &bridges(old, now), &key, dns_names, now)
}

/// Makes a new CA, a bridge to it from the one that is there, and a serving certificate that the new one signed. The
/// key of the old CA is used for the last time.
pub fn rotate_ca(old: &Issued, dns_names: &[String], now: SystemTime) -> Result<Issued, Error> {
    let old_key = KeyPair::from_pem(&old.ca_key_pem).map_err(Error::Issue)?;
    let old_end = check::expiry(&old.ca_pem)?;
    let old_end = UNIX_EPOCH + Duration::from_secs(u64::try_from(old_end).unwrap_or_default());
    let key = new_key()?;
    let ca = ca_params(now).self_signed(&key).map_err(Error::Issue)?;
    let mut params = ca_params(now);
    params.not_after = old_end.min(now + CA_LIFETIME).into();
    params.use_authority_key_identifier_extension = true;
    let bridge = params.signed_by(&key, &Issuer::new(ca_params(now), &old_key)).map_err(Error::Issue)?;
    let bridges = bridge.pem() + &bridges(old, now);
    sign(ca.pem() + &living_cas(old, MAX_BRIDGES, now), &bridges, &key, dns_names, now)
}

fn new_key() -> Result<KeyPair, Error> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(Error::Issue)
}

fn sign(
    ca_pem: String,
    bridges: &str,
    ca_key: &KeyPair,
    dns_names: &[String],
    now: SystemTime,
) -> Result<Issued, Error> {
    let issuer = Issuer::new(ca_params(now), ca_key);
    let key = new_key()?;
    let cert = leaf_params(dns_names, now)?.signed_by(&key, &issuer).map_err(Error::Issue)?;
    Ok(Issued {
        ca_pem,
        ca_key_pem: ca_key.serialize_pem(),
        cert_pem: cert.pem() + bridges,
        key_pem: key.serialize_pem(),
    })
}

/// The CA in use, whatever its age, and earlier ones that have not ended; as many as bridges lead to.
fn living_cas(old: &Issued, limit: u8, now: SystemTime) -> String {
    let blocks = blocks(&old.ca_pem).enumerate();
    let living = blocks.filter(|(index, pem)| *index == 0 || check::is_alive(pem, now));
    living.take(limit.into()).map(|(_, pem)| pem).collect()
}

fn bridges(old: &Issued, now: SystemTime) -> String {
    blocks(&old.cert_pem)
        .skip(1)
        .filter(|pem| check::is_alive(pem, now))
        .take(usize::from(MAX_BRIDGES) - 1)
        .collect()
}

/// Each certificate of a PEM text.
fn blocks(pem: &str) -> impl Iterator<Item = String> {
    const END: &str = "-----END CERTIFICATE-----";
    pem.split_inclusive(END).filter(|block| block.contains(END)).map(|block| format!("{}\n", block.trim()))
}

/// CAs are told apart by their keys alone: all have one name, so that a CA can be replaced without reading the old one.
fn ca_params(now: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name("kube-rasp-operator CA");
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + CA_LIFETIME).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(MAX_BRIDGES));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf_params(dns_names: &[String], now: SystemTime) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(dns_names).map_err(Error::Issue)?;
    params.distinguished_name = name("kube-rasp-operator");
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + LEAF_LIFETIME).into();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}
