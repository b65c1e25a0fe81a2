//! MPI: the ranks of a job find each other, and are workers over TCP from then on.
//!
//! MPI is left again before any load: a library that waits by spinning would take the cores of the load, and one that loses a
//! rank ends all others.

use std::io;
use std::net::{IpAddr, SocketAddr};

use ::mpi::topology::SimpleCommunicator;
use ::mpi::traits::{Communicator, Destination, Root, Source};
use serde::{Deserialize, Serialize};

use super::calls::{Listening, call, welcomed};
use super::key::Key;
use crate::issue::workers::link::Link;

/// What this rank does from now on.
pub enum Role {
    /// Rank 0 leads, and starts the first worker itself.
    Leads(Listening),
    /// Every other one is a worker; with its own number, from 0.
    Works(Caller),
}

/// A worker that has called and not been answered yet.
pub struct Caller {
    stream: std::net::TcpStream,
    key: Key,
    number: u32,
}

impl Caller {
    /// Waits for the answer.
    ///
    /// # Errors
    /// When the leading process is gone.
    pub fn link(self) -> io::Result<Link> {
        welcomed(self.stream, Some(&self.key), Some(self.number))
    }
}

/// Why the ranks of a job do not find each other.
#[derive(Debug, thiserror::Error)]
pub enum MeetingError {
    /// MPI itself.
    #[error(
        "MPI cannot be initialised: was the job started with the `mpirun` of the library that this program was built with?"
    )]
    Initialise,
    /// MPI says otherwise than the environment.
    #[error(
        "mpirun started {said} processes, and MPI knows of {known}: this program was built with another MPI library than that of `mpirun`"
    )]
    OtherLibrary {
        /// As the launcher says.
        said: u32,
        /// As the library says.
        known: u32,
    },
    /// Rank 0 cannot be called.
    #[error("rank 0 cannot listen for the others: {0}")]
    Listen(io::Error),
    /// Others cannot reach rank 0.
    #[error(
        "{ranks} cannot reach rank 0 at any of {addresses}: {words}. Ranks of a load talk over TCP: allow it between the hosts"
    )]
    Unreachable {
        /// Which.
        ranks: String,
        /// Where rank 0 listens.
        addresses: String,
        /// Why the first of them cannot.
        words: String,
    },
    /// This rank is one of them, which rank 0 tells.
    #[error("rank 0 cannot be reached: {0}")]
    Call(io::Error),
}

/// What rank 0 tells the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Invitation {
    addresses: Vec<SocketAddr>,
    key: String,
    /// Why it cannot be called.
    fault: Option<String>,
}

/// Meets the other ranks: rank 0 says where it listens, and the others call.
///
/// # Errors
/// The same on every rank, or more exactly on rank 0.
pub fn meet(size: u32) -> Result<Role, MeetingError> {
    let universe = ::mpi::initialize().ok_or(MeetingError::Initialise)?;
    let world = universe.world();
    let known = world.size() as u32;
    if known != size {
        return Err(MeetingError::OtherLibrary { said: size, known });
    }
    if world.rank() == 0 { lead(&world) } else { follow(&world) }
    // MPI is finalised here.
}

fn lead(world: &SimpleCommunicator) -> Result<Role, MeetingError> {
    let opened = listen();
    let invitation = match &opened {
        Ok((_, invitation)) => invitation.clone(),
        Err(error) => {
            Invitation { addresses: Vec::new(), key: String::new(), fault: Some(error.to_string()) }
        }
    };
    let mut text = serde_json::to_vec(&invitation).map_err(|it| MeetingError::Listen(it.into()))?;
    let mut length = text.len() as u64;
    world.this_process().broadcast_into(&mut length);
    world.this_process().broadcast_into(&mut text[..]);
    let (listening, _) = opened.map_err(MeetingError::Listen)?;
    let mut faults = Vec::new();
    for rank in 1..world.size() {
        let (words, _) = world.process_at_rank(rank).receive_vec::<u8>();
        let words = String::from_utf8_lossy(&words).into_owned();
        if !words.is_empty() {
            faults.push((rank, words));
        }
    }
    let Some((_, words)) = faults.first().cloned() else { return Ok(Role::Leads(listening)) };
    let named: Vec<String> = faults.iter().map(|(rank, _)| format!("rank {rank}")).collect();
    let addresses: Vec<String> = invitation.addresses.iter().map(ToString::to_string).collect();
    let (ranks, addresses) = (named.join(", "), addresses.join(", "));
    Err(MeetingError::Unreachable { ranks, addresses, words })
}

fn follow(world: &SimpleCommunicator) -> Result<Role, MeetingError> {
    let root = world.process_at_rank(0);
    let mut length = 0_u64;
    root.broadcast_into(&mut length);
    let mut text = vec![0_u8; length as usize];
    root.broadcast_into(&mut text[..]);
    let invitation: Invitation =
        serde_json::from_slice(&text).map_err(|it| MeetingError::Call(it.into()))?;
    if let Some(words) = invitation.fault {
        return Err(MeetingError::Call(io::Error::other(words)));
    }
    let number = world.rank() as u32;
    let called = call(&invitation.addresses);
    let words = called.as_ref().err().map(ToString::to_string).unwrap_or_default();
    root.send(words.as_bytes());
    let key = Key::of(&invitation.key);
    called.map(|stream| Role::Works(Caller { stream, key, number })).map_err(MeetingError::Call)
}

fn listen() -> io::Result<(Listening, Invitation)> {
    let key = Key::random()?;
    let listening = Listening::for_job(key.clone())?;
    let port = listening.address()?.port();
    let addresses = own_addresses()?.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
    Ok((listening, Invitation { addresses, key: key.told(), fault: None }))
}

/// Addresses of this host: those that other hosts may reach first, the loopback last.
fn own_addresses() -> io::Result<Vec<IpAddr>> {
    let mut addresses: Vec<IpAddr> = nix::ifaddrs::getifaddrs()?
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip())))
        })
        // Of one link only, and each host has such ones.
        .filter(|address| !matches!(address, IpAddr::V6(it) if it.is_unicast_link_local()))
        .collect();
    addresses.sort_by_key(|address| (address.is_loopback(), address.is_ipv6()));
    addresses.dedup();
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_the_last_address_that_is_tried() {
        let addresses = own_addresses().expect("the system tells");
        let first_loopback = addresses.iter().position(IpAddr::is_loopback);
        let last_other = addresses.iter().rposition(|it| !it.is_loopback());
        if let (Some(loopback), Some(other)) = (first_loopback, last_other) {
            assert!(other < loopback, "{addresses:?}");
        }
    }

    #[test]
    fn no_two_keys_are_alike() {
        let keys = [(); 2].map(|()| Key::random().expect("random").told());
        assert_eq!(keys[0].len(), 32);
        assert_ne!(keys[0], keys[1]);
    }
}
