use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::ByteString;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};

use super::{
    DAY, Due, Ensured, Issued, Problem, Resolver, SecretData, accepted_by, dns_names, due, ensure, expiry,
    from_foreign_secret, from_secret, issue, renew, rotate_ca, secret_data, server_config, unix_seconds,
};

fn names() -> Vec<String> {
    dns_names("kube-rasp-operator", "kube-rasp")
}

fn mk_issued() -> Issued {
    issue(&names(), SystemTime::now()).unwrap()
}

#[test]
fn what_is_issued_can_be_stored_read_and_used() {
    let now = SystemTime::now();
    let issued = issue(&names(), now).unwrap();
    let data = secret_data(&issued);
    assert_eq!(data.keys().collect::<Vec<_>>(), ["ca.crt", "ca.key", "tls.crt", "tls.key"]);
    assert_eq!(from_secret(&data, &names(), now), Ok(issued.clone()));
    assert_eq!(ensure(&data, &names(), now).unwrap(), Ensured::Kept(issued));
}

#[test]
fn the_service_is_reached_under_four_names() {
    assert_eq!(
        names(),
        [
            "kube-rasp-operator.kube-rasp.svc",
            "kube-rasp-operator.kube-rasp.svc.cluster.local",
            "kube-rasp-operator.kube-rasp",
            "kube-rasp-operator",
        ]
    );
}

#[test]
fn the_end_of_a_certificate_is_told_in_unix_seconds() {
    let now = SystemTime::now();
    let issued = issue(&names(), now).unwrap();
    assert_eq!(expiry(&issued.cert_pem).unwrap(), unix_seconds(now + 90 * DAY));
    assert_eq!(expiry(&issued.ca_pem).unwrap(), unix_seconds(now + 3650 * DAY));
    assert!(expiry("no certificate").is_err());
}

#[test]
fn a_secret_that_cannot_be_served_is_named_and_replaced() {
    let now = SystemTime::now();
    let (good, other) = (issue(&names(), now).unwrap(), issue(&names(), now).unwrap());
    let elsewhere = issue(&["elsewhere.svc".to_owned()], now).unwrap();
    let with = |change: &dyn Fn(&mut SecretData)| {
        let mut data = secret_data(&good);
        change(&mut data);
        data
    };
    let text = |value: &str| ByteString(value.as_bytes().to_vec());
    let set = |key: &'static str, value: &str| {
        let value = text(value);
        with(&move |data| {
            data.insert(key.to_owned(), value.clone());
        })
    };
    let foreign_leaf = with(&|data| {
        data.insert("tls.crt".to_owned(), text(&other.cert_pem));
        data.insert("tls.key".to_owned(), text(&other.key_pem));
    });
    let unsigned_ca = with(&|data| {
        data.insert("ca.crt".to_owned(), text(&other.ca_pem));
        data.insert("ca.key".to_owned(), text(&other.ca_key_pem));
    });
    let binary = with(&|data| {
        data.insert("tls.crt".to_owned(), ByteString(vec![0xff, 0xfe]));
    });
    let no_leaf = with(&|data| {
        data.remove("tls.crt");
    });
    let table = [
        // what the Secret holds, the problem, whether the CA in it is kept
        (SecretData::new(), Problem::Missing("ca.crt"), false),
        (no_leaf, Problem::Missing("tls.crt"), true),
        (binary, Problem::Malformed("tls.crt"), true),
        (set("tls.crt", "text"), Problem::Malformed("tls.crt"), true),
        (set("tls.key", "text"), Problem::Malformed("tls.key"), true),
        (set("tls.key", &other.key_pem), Problem::KeyMismatch("tls.key"), true),
        (set("ca.key", &other.ca_key_pem), Problem::KeyMismatch("ca.key"), false),
        (set("ca.crt", "text"), Problem::Malformed("ca.crt"), false),
        (foreign_leaf, Problem::OtherCa, true),
        (unsigned_ca, Problem::OtherCa, true),
        (secret_data(&elsewhere), Problem::WrongName("kube-rasp-operator.kube-rasp.svc".to_owned()), true),
    ];
    for (data, problem, keeps_ca) in table {
        assert_eq!(from_secret(&data, &names(), now), Err(problem.clone()));
        let Ensured::Replaced(replaced, said) = ensure(&data, &names(), now).unwrap() else {
            panic!("{problem} was kept");
        };
        assert_eq!(said, problem);
        assert_eq!(from_secret(&secret_data(&replaced), &names(), now), Ok(replaced.clone()), "{problem}");
        let ca = data.get("ca.crt").map(|ca| ca.0.clone());
        assert_eq!(ca == Some(replaced.ca_pem.into_bytes()), keeps_ca, "{problem}");
    }
}

#[test]
fn time_makes_a_certificate_due_and_then_unusable() {
    let now = SystemTime::now();
    let issued = issue(&names(), now).unwrap();
    let data = secret_data(&issued);
    let table = [
        // days after it was issued, what is due, the problem
        (0, None, None),
        (59, None, None),
        (60, Some(Due::Certificate), None),
        (89, Some(Due::Certificate), None),
        (91, Some(Due::Certificate), Some(Problem::Ends)),
        (2432, Some(Due::Certificate), Some(Problem::Ends)),
        (2434, Some(Due::Ca), Some(Problem::Ends)),
        (3651, Some(Due::Ca), Some(Problem::CaEnds)),
    ];
    for (days, expected, problem) in table {
        let then = now + days * DAY;
        assert_eq!(due(&issued, then), expected, "{days} days");
        assert_eq!(from_secret(&data, &names(), then).err(), problem, "{days} days");
    }
    let slow = Duration::from_hours(23);
    assert!(from_secret(&data, &names(), now - slow).is_ok(), "a clock that is a day behind");
    assert_eq!(from_secret(&data, &names(), now - 2 * DAY), Err(Problem::NotYetValid));
}

#[test]
fn a_new_ca_is_accepted_by_those_who_know_only_one_before_it() {
    let start = SystemTime::now();
    let mut issued = issue(&names(), start).unwrap();
    let mut known = vec![issued.ca_pem.clone()];
    for times in 1..=3 {
        let now = start + times * 2434 * DAY;
        issued = rotate_ca(&issued, &names(), now).unwrap();
        let later = renew(&issued, &names(), now + 60 * DAY).unwrap();
        for (name, issued) in [("rotated", &issued), ("renewed", &later)] {
            assert!(from_secret(&secret_data(issued), &names(), now + 61 * DAY).is_ok(), "{name}");
            // The CA before the last has ended when the third comes; bridges over it end with it.
            let reachable = known.len().saturating_sub(1);
            for ca in &known[reachable..] {
                assert_eq!(accepted_by(ca, &issued.cert_pem, &names()[0], now + 61 * DAY), Ok(()), "{name}");
            }
        }
        assert_eq!(due(&issued, now), None);
        known.push(issued.ca_pem.clone());
    }
    let stranger = mk_issued();
    assert_eq!(
        accepted_by(&stranger.ca_pem, &issued.cert_pem, &names()[0], start + 7302 * DAY),
        Err(Problem::OtherCa)
    );
}

#[test]
fn cas_that_are_rotated_at_once_all_stay_known_and_what_has_ended_is_left_out() {
    let now = SystemTime::now();
    let first = issue(&names(), now).unwrap();
    let mut issued = first.clone();
    for _ in 0..6 {
        issued = rotate_ca(&issued, &names(), now).unwrap();
    }
    let count = |pem: &str| pem.matches("BEGIN CERTIFICATE").count();
    assert_eq!((count(&issued.ca_pem), count(&issued.cert_pem)), (5, 5), "bounded");
    let twice = rotate_ca(&rotate_ca(&first, &names(), now).unwrap(), &names(), now).unwrap();
    assert!(twice.ca_pem.ends_with(&first.ca_pem), "the newest first");
    assert_eq!(accepted_by(&first.ca_pem, &twice.cert_pem, &names()[0], now), Ok(()), "over two bridges");
    let ended = renew(&twice, &names(), now + 3651 * DAY).unwrap();
    assert_eq!((count(&ended.ca_pem), count(&ended.cert_pem)), (1, 1));
}

#[test]
fn a_secret_of_somebody_else_needs_no_key_of_a_ca_and_one_name() {
    let now = SystemTime::now();
    let issued = issue(&names()[..1], now).unwrap();
    let mut data = secret_data(&issued);
    data.remove("ca.key");
    assert!(from_foreign_secret(&data, &names(), now).is_ok());
    assert_eq!(from_secret(&data, &names(), now), Err(Problem::Missing("ca.key")));
    // Another CA is trusted as well, in front of the one that signed.
    let both = mk_issued().ca_pem + &issued.ca_pem;
    data.insert("ca.crt".to_owned(), ByteString(both.into_bytes()));
    assert!(from_foreign_secret(&data, &names(), now).is_ok());
    // Signed by an intermediate that only tls.crt holds.
    let rotated = Issued { ca_pem: issued.ca_pem.clone(), ..rotate_ca(&issued, &names(), now).unwrap() };
    assert!(from_foreign_secret(&secret_data(&rotated), &names(), now).is_ok());

    let elsewhere = secret_data(&issue(&["elsewhere.svc".to_owned()], now).unwrap());
    let without = |key: &str| {
        let mut data = data.clone();
        data.remove(key);
        data
    };
    let stranger = Issued { ca_pem: mk_issued().ca_pem, ..issued.clone() };
    let table = [
        (without("ca.crt"), now, Problem::Missing("ca.crt")),
        (without("tls.key"), now, Problem::Missing("tls.key")),
        (elsewhere, now, Problem::WrongName(names()[0].clone())),
        (data.clone(), now + 91 * DAY, Problem::Ends),
        (secret_data(&stranger), now, Problem::OtherCa),
    ];
    for (data, now, problem) in table {
        assert_eq!(from_foreign_secret(&data, &names(), now), Err(problem));
    }
}

#[test]
fn a_renewed_certificate_is_trusted_by_those_who_know_the_ca() {
    let now = SystemTime::now();
    let old = issue(&names(), now).unwrap();
    let later = now + 80 * DAY;
    let renewed = renew(&old, &names(), later).unwrap();
    assert_eq!(renewed.ca_pem, old.ca_pem);
    assert_ne!(renewed.key_pem, old.key_pem);
    assert_eq!(from_secret(&secret_data(&renewed), &names(), later), Ok(renewed));
}

#[test]
fn no_private_key_is_shown_by_debug() {
    assert!(!format!("{:?}", mk_issued()).contains("PRIVATE KEY"));
}

/// A client that trusts only this CA.
async fn connect(
    resolver: &Arc<Resolver>,
    ca_pem: &str,
    name: &str,
) -> std::io::Result<TlsStream<DuplexStream>> {
    let acceptor = TlsAcceptor::from(Arc::new(server_config(resolver.clone()).unwrap()));
    let (client, server) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move {
        let mut stream = acceptor.accept(server).await?;
        let mut byte = [0];
        while stream.read_exact(&mut byte).await.is_ok() {
            stream.write_all(&byte).await?;
        }
        std::io::Result::Ok(())
    });
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(super::serve::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, client).await
}

fn served(stream: &TlsStream<DuplexStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap().first().unwrap().to_vec()
}

async fn echoes(stream: &mut TlsStream<DuplexStream>) -> bool {
    let mut byte = [0];
    stream.write_all(b"x").await.is_ok() && stream.read_exact(&mut byte).await.is_ok() && byte == *b"x"
}

#[tokio::test]
async fn a_client_that_trusts_only_the_ca_connects_under_each_name() {
    let issued = mk_issued();
    let resolver = Arc::new(Resolver::new(&issued.cert_pem, &issued.key_pem).unwrap());
    for name in names() {
        let mut stream = connect(&resolver, &issued.ca_pem, &name).await.unwrap();
        assert!(echoes(&mut stream).await, "{name}");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    }
    assert!(connect(&resolver, &issued.ca_pem, "elsewhere.svc").await.is_err());
    let stranger = mk_issued();
    assert!(connect(&resolver, &stranger.ca_pem, "kube-rasp-operator.kube-rasp.svc").await.is_err());
}

#[tokio::test]
async fn a_replaced_certificate_is_served_to_new_connections_and_old_ones_go_on() {
    let old = mk_issued();
    let new = renew(&old, &names(), SystemTime::now() + Duration::from_secs(1)).unwrap();
    let name = &names()[0];
    let resolver = Arc::new(Resolver::new(&old.cert_pem, &old.key_pem).unwrap());
    let mut before = connect(&resolver, &old.ca_pem, name).await.unwrap();
    resolver.replace(&new.cert_pem, &new.key_pem).unwrap();
    let mut after = connect(&resolver, &old.ca_pem, name).await.unwrap();
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec();
    assert_eq!(served(&before), der(&old.cert_pem));
    assert_eq!(served(&after), der(&new.cert_pem));
    assert!(echoes(&mut before).await && echoes(&mut after).await);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_served_replaces_nothing() {
    let (old, other) = (mk_issued(), mk_issued());
    let resolver = Arc::new(Resolver::new(&old.cert_pem, &old.key_pem).unwrap());
    assert!(resolver.replace(&other.cert_pem, &old.key_pem).is_err());
    assert!(resolver.replace("", "").is_err());
    assert!(connect(&resolver, &old.ca_pem, &names()[0]).await.is_ok());
}
