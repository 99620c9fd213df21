//! A relay between two processes that does what networks do: delay, jitter, cut, reset, half-close, corrupt, stall.

use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// What happens to one direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Every piece comes later by the first, and by up to the second more.
    Delay(Duration, Duration),
    /// Pieces of at most so many bytes.
    Split(usize),
    /// After so many bytes both directions end in order.
    Cut(usize),
    /// After so many bytes both directions end with a reset.
    Reset(usize),
    /// After so many bytes this direction ends in order, the other one goes on.
    HalfClose(usize),
    /// The byte after so many comes with one bit turned.
    Corrupt(usize),
    /// After so many bytes nothing more comes.
    Stall(usize),
}

/// Relays to `target`; `plan` says what happens to the n-th connection, towards the target and back.
pub fn start(
    target: SocketAddr,
    plan: impl Fn(usize) -> (Fault, Fault) + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            for number in 0.. {
                let Ok((near, _)) = listener.accept().await else { continue };
                tokio::spawn(relay(near, target, plan(number)));
            }
        });
    });
    address
}

/// How one direction ended.
enum End {
    Whole,
    Cut,
    Reset,
}

async fn relay(near: TcpStream, target: SocketAddr, (there, back): (Fault, Fault)) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((mut near_in, mut near_out), (mut far_in, mut far_out)) = (near.into_split(), far.into_split());
    let end = {
        let mut there = std::pin::pin!(direction(&mut near_in, &mut far_out, there));
        let mut back = std::pin::pin!(direction(&mut far_in, &mut near_out, back));
        // What ends in order leaves the other direction open.
        tokio::select! {
            end = &mut there => if matches!(end, End::Whole) { back.await } else { end },
            end = &mut back => if matches!(end, End::Whole) { there.await } else { end },
        }
    };
    if matches!(end, End::Reset) {
        for stream in [near_in.as_ref(), far_in.as_ref()] {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
        near_out.forget();
        far_out.forget();
    }
}

async fn direction(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, fault: Fault) -> End {
    let (mut buffer, mut moved) = (vec![0; 16 << 10], 0);
    loop {
        let limit = match fault {
            Fault::Cut(at) | Fault::Reset(at) | Fault::HalfClose(at) | Fault::Stall(at) if at == moved => {
                match fault {
                    Fault::Cut(_) => return End::Cut,
                    Fault::Reset(_) => return End::Reset,
                    Fault::Stall(_) => std::future::pending().await,
                    _ => {
                        let _ = to.shutdown().await;
                        return End::Whole;
                    }
                }
            }
            Fault::Cut(at) | Fault::Reset(at) | Fault::HalfClose(at) | Fault::Stall(at) => at - moved,
            Fault::Split(size) => size,
            _ => buffer.len(),
        };
        let limit = limit.min(buffer.len());
        let read = match from.read(&mut buffer[..limit]).await {
            Ok(0) => {
                let _ = to.shutdown().await;
                return End::Whole;
            }
            Ok(read) => read,
            Err(_) => return End::Reset,
        };
        match fault {
            Fault::Delay(delay, jitter) => {
                tokio::time::sleep(delay + jitter.mul_f64(fastrand::f64())).await;
            }
            Fault::Corrupt(at) if (moved..moved + read).contains(&at) => buffer[at - moved] ^= 2,
            _ => {}
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return End::Reset;
        }
        moved += read;
    }
}
