//! Why a TLS handshake failed, on either side, and why a new certificate was not taken.

/// Label of `rasp_errors_total{kind}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tls {
    /// The client's first byte is none of a TLS record.
    PlainText,
    /// The handshake took too long.
    Timeout,
    /// No certificate could be loaded yet.
    NoCertificate,
    /// The client offers nothing newer than TLS 1.1.
    Version,
    /// The client offers only application protocols that are not spoken here.
    ApplicationProtocol,
    /// A client certificate is required and none was sent.
    ClientCertificateMissing,
    /// The client's certificate is not signed by the CA, has ended, or is not for clients.
    ClientCertificateInvalid,
    /// The client said with an alert that it does not take the certificate, or went away in the middle.
    ClientGaveUp,
    /// Anything else that is no valid handshake.
    Handshake,
    /// The application's certificate is not one that is accepted.
    UpstreamCertificate,
    /// The application did not complete a handshake.
    UpstreamHandshake,
    /// The application does not speak the protocol of the client.
    UpstreamProtocol,
    /// A changed certificate, key or CA cannot be used; the last good ones stay.
    Material,
}

impl Tls {
    /// Every reason.
    pub const ALL: [Self; 13] = [
        Self::PlainText,
        Self::Timeout,
        Self::NoCertificate,
        Self::Version,
        Self::ApplicationProtocol,
        Self::ClientCertificateMissing,
        Self::ClientCertificateInvalid,
        Self::ClientGaveUp,
        Self::Handshake,
        Self::UpstreamCertificate,
        Self::UpstreamHandshake,
        Self::UpstreamProtocol,
        Self::Material,
    ];

    /// Metric label and log field.
    pub fn id(self) -> &'static str {
        match self {
            Self::PlainText => "tls_plain_text",
            Self::Timeout => "tls_timeout",
            Self::NoCertificate => "tls_no_certificate",
            Self::Version => "tls_version",
            Self::ApplicationProtocol => "tls_application_protocol",
            Self::ClientCertificateMissing => "tls_client_certificate_missing",
            Self::ClientCertificateInvalid => "tls_client_certificate_invalid",
            Self::ClientGaveUp => "tls_client_gave_up",
            Self::Handshake => "tls_handshake",
            Self::UpstreamCertificate => "tls_upstream_certificate",
            Self::UpstreamHandshake => "tls_upstream_handshake",
            Self::UpstreamProtocol => "tls_upstream_application_protocol",
            Self::Material => "tls_material",
        }
    }
}
