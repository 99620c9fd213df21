//! Interception without packet rules: which ports the sidecar opens, and which port of the application stands behind each.
//!
//! Injection writes the list and names the ports, the sidecar opens them; both read the form here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{ADMIN_PORT, FIRST_SERVED_PORT, INBOUND_PORT, MOST_SERVED_PORTS, OUTBOUND_PORT};

/// How connections reach the sidecar of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Interception {
    /// Packet rules redirect whatever arrives at a port on which the pod listens.
    #[default]
    Redirect,
    /// Services name the ports of the sidecar. Who dials the application's own port goes around it.
    None,
}

impl Interception {
    /// The word in reports and documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redirect => "Redirect",
            Self::None => "None",
        }
    }
}

/// No such mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use redirect or none")]
pub struct UnknownInterception;

impl FromStr for Interception {
    type Err = UnknownInterception;

    fn from_str(word: &str) -> Result<Self, UnknownInterception> {
        match word {
            "redirect" => Ok(Self::Redirect),
            "none" => Ok(Self::None),
            _ => Err(UnknownInterception),
        }
    }
}

/// Whether a port is one that a sidecar may open for the application.
pub fn is_served_port(port: u16) -> bool {
    port.checked_sub(FIRST_SERVED_PORT).is_some_and(|index| usize::from(index) < MOST_SERVED_PORTS)
}

/// The sidecar's ports and the application's behind them. Empty where packet rules intercept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServedPorts(BTreeMap<u16, u16>);

impl ServedPorts {
    /// The sidecar serves a port of the application at one of its own.
    pub fn serve(&mut self, own: u16, application: u16) {
        self.0.insert(own, application);
    }

    /// The application's port behind one of the sidecar's.
    pub fn behind(&self, own: u16) -> Option<u16> {
        self.0.get(&own).copied()
    }

    /// The sidecar's ports.
    pub fn own(&self) -> impl Iterator<Item = u16> {
        self.0.keys().copied()
    }

    /// The application's ports.
    pub fn applications(&self) -> impl Iterator<Item = u16> {
        self.0.values().copied()
    }

    /// Whether packet rules intercept.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `PORT=PORT`, the sidecar's first, with commas in between.
    pub fn to_text(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, (own, application)| {
            let comma = if text.is_empty() { "" } else { "," };
            let _ = write!(text, "{comma}{own}={application}");
            text
        })
    }
}

/// Not a list of ports that could be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?}: expected PORT=PORT, a port of the sidecar and one of the application, for example 16200=8080"
)]
pub struct NotServed(String);

impl FromStr for ServedPorts {
    type Err = NotServed;

    fn from_str(text: &str) -> Result<Self, NotServed> {
        let mut ports = Self::default();
        for element in text.split(',').map(str::trim).filter(|element| !element.is_empty()) {
            let wrong = || NotServed(element.to_owned());
            let (own, application) = element.split_once('=').ok_or_else(wrong)?;
            let own = own.parse().ok().filter(|port| is_served_port(*port)).ok_or_else(wrong)?;
            // A port of the proxy behind a port of the proxy would be a circle.
            let is_proxys = |port: u16| [INBOUND_PORT, OUTBOUND_PORT, ADMIN_PORT].contains(&port);
            let application = application.parse().ok().filter(|port| *port != 0 && !is_proxys(*port));
            if ports.0.insert(own, application.ok_or_else(wrong)?).is_some() {
                return Err(wrong());
            }
        }
        let circle = ports.applications().find(|port| ports.0.contains_key(port));
        circle.map_or(Ok(ports), |port| Err(NotServed(port.to_string())))
    }
}

#[cfg(test)]
mod tests {
    use super::{Interception, ServedPorts, is_served_port};

    #[test]
    fn what_injection_writes_the_sidecar_reads() {
        let text = "16200=8080,16201=9090";
        let ports: ServedPorts = text.parse().unwrap();
        assert_eq!(ports.to_text(), text);
        assert_eq!((ports.behind(16201), ports.behind(8080)), (Some(9090), None));
        assert!("".parse::<ServedPorts>().unwrap().is_empty());
        for wrong in [
            "16200",
            "16200=",
            "=8080",
            "16200=0",
            "8080=16200",
            "16264=8080",
            "16199=8080",
            "16200=16143",
            "16200=16191",
            "16200=16201,16201=8080",
            "16200=16200",
            "16200=1,16200=2",
            "16200=70000",
        ] {
            assert!(wrong.parse::<ServedPorts>().is_err(), "{wrong}");
        }
        assert!(is_served_port(16263) && !is_served_port(16264) && !is_served_port(0));
    }

    #[test]
    fn modes_are_words() {
        assert_eq!("none".parse(), Ok(Interception::None));
        assert_eq!("redirect".parse(), Ok(Interception::Redirect));
        assert!("None".parse::<Interception>().is_err() && "".parse::<Interception>().is_err());
    }
}
