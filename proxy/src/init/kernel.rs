//! The netlink socket: sends a batch or a request and reads what the kernel answers.
//!
//! The only file of `init` that touches the system. Blocking, bounded by a timeout. Called by `init`.

use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

use super::dump::Dump;
use super::message::{Batch, Content, GET_ALL, Reply, dump_request, replies};

/// The kernel answers within the system call; this only keeps a fault from hanging the pod without a word.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The kernel never sends a datagram over 32 KiB for a dump; an error repeats the request, which is one message.
const BUFFER: usize = 64 * 1024;
/// A dump is read again when somebody changes rules meanwhile; in a starting pod once should do.
const DUMP_ATTEMPTS: usize = 10;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Error {
    #[error("netlink failed")]
    Netlink(#[source] Errno),
    #[error("message {sequence} was refused")]
    Refused { sequence: u32, errno: Errno },
    #[error("the kernel sent a malformed netlink message")]
    Malformed,
    #[error("the rules changed while they were read, {DUMP_ATTEMPTS} times in a row")]
    Unstable,
}

pub(super) struct Netlink(OwnedFd);

impl Netlink {
    pub(super) fn open() -> Result<Self, Errno> {
        let socket =
            socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(NETFILTER))?;
        set_socket_timeout(&socket, Timeout::Recv, Some(TIMEOUT))?;
        Ok(Self(socket))
    }

    /// Carries the batch out as one transaction: all of it, or, with an error, nothing.
    pub(super) fn load(&self, batch: &Batch<'_>) -> Result<(), Error> {
        self.send(&batch.bytes)?;
        let last = batch.last();
        let mut buffer = vec![0; BUFFER];
        loop {
            for Reply { sequence, content, .. } in self.receive(&mut buffer)? {
                match content {
                    Content::Status(0) if sequence == last => return Ok(()),
                    // The first refusal is the cause; later messages fail because of it.
                    Content::Status(errno) if errno != 0 => {
                        return Err(Error::Refused { sequence, errno: Errno::from_raw_os_error(errno) });
                    }
                    _ => {}
                }
            }
        }
    }

    /// Everything of the `inet` family that is in force.
    pub(super) fn dump(&self) -> Result<Dump, Error> {
        for _ in 0..DUMP_ATTEMPTS {
            if let Some(dump) = self.try_dump()? {
                return Ok(dump);
            }
        }
        Err(Error::Unstable)
    }

    /// `None` when a change interfered.
    fn try_dump(&self) -> Result<Option<Dump>, Error> {
        let mut dump = Dump::default();
        let mut whole = true;
        for (sequence, kind) in (0u32..).zip(GET_ALL) {
            self.send(&dump_request(kind, sequence))?;
            whole &= self.read_objects(sequence, &mut dump)?;
        }
        Ok(whole.then_some(dump))
    }

    fn read_objects(&self, request: u32, dump: &mut Dump) -> Result<bool, Error> {
        let mut buffer = vec![0; BUFFER];
        let mut whole = true;
        loop {
            for Reply { sequence, interrupted, content } in self.receive(&mut buffer)? {
                // What a former, failed request left behind.
                if sequence != request {
                    continue;
                }
                whole &= !interrupted;
                match content {
                    Content::Object { kind, family, attributes } => {
                        dump.add(kind, family, attributes).ok_or(Error::Malformed)?;
                    }
                    Content::Done(0) => return Ok(whole),
                    Content::Done(errno) | Content::Status(errno) => {
                        return Err(Error::Refused { sequence, errno: Errno::from_raw_os_error(errno) });
                    }
                }
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> Result<(), Error> {
        let kernel = SocketAddrNetlink::new(0, 0);
        let sent =
            retry_on_intr(|| sendto(&self.0, bytes, SendFlags::empty(), &kernel)).map_err(Error::Netlink)?;
        // A datagram goes whole or not at all.
        if sent == bytes.len() { Ok(()) } else { Err(Error::Netlink(Errno::MSGSIZE)) }
    }

    fn receive<'b>(&self, buffer: &'b mut [u8]) -> Result<Vec<Reply<'b>>, Error> {
        let (_, length) =
            retry_on_intr(|| recv(&self.0, &mut *buffer, RecvFlags::TRUNC)).map_err(Error::Netlink)?;
        let datagram = buffer.get(..length).ok_or(Error::Malformed)?;
        replies(datagram).ok_or(Error::Malformed)
    }
}
