//! Key that workers of other hosts must know. Both sides prove that they know it, and it is never sent.
//!
//! A proof is the HMAC-SHA256 (RFC 2104) of who proves and of a random text of each side, so that one that was overheard proves
//! nothing in another call.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};

use sha2::{Digest, Sha256};

/// Bytes that SHA-256 takes at once, which a key of HMAC is filled up to.
const BLOCK: usize = 64;
/// Somebody who hears a call may try keys as fast as they can compute.
const SHORTEST: usize = 16;

/// A key. It has no `Display` and no `Debug`.
#[derive(Clone)]
pub struct Key(String);

/// Why a variable holds no key. The message never shows what it holds.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It is not there.
    #[error(
        "the environment variable `{0}` is not set or empty: export the key in it, the same on every host"
    )]
    NoVariable(String),
    /// It can be guessed.
    #[error(
        "the key in `{0}` is shorter than {SHORTEST} characters, and can be guessed: make one with `openssl rand -hex 16`"
    )]
    Short(String),
}

/// Who proves that it knows the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prover {
    Leader,
    Worker,
}

/// The random texts of a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nonces<'a> {
    pub leader: &'a str,
    pub worker: &'a str,
}

impl Key {
    /// The key that an environment variable holds.
    ///
    /// # Errors
    /// When it holds none, or one that can be guessed.
    pub fn from_variable(name: &str) -> Result<Self, KeyError> {
        let value = std::env::var(name).unwrap_or_default();
        Self::checked(value.trim(), name)
    }

    fn checked(value: &str, name: &str) -> Result<Self, KeyError> {
        match value.len() {
            0 => Err(KeyError::NoVariable(name.to_owned())),
            1..SHORTEST => Err(KeyError::Short(name.to_owned())),
            _ => Ok(Self(value.to_owned())),
        }
    }

    /// One that nobody knows yet, as text.
    ///
    /// # Errors
    /// When the system has nothing random.
    #[cfg(feature = "mpi")]
    pub(super) fn random() -> io::Result<Self> {
        random_text().map(Self)
    }

    /// As it was told.
    #[cfg(any(feature = "mpi", test))]
    pub(super) fn of(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// To be told to somebody over a way that is trusted.
    #[cfg(feature = "mpi")]
    pub(super) fn told(&self) -> String {
        self.0.clone()
    }

    pub(super) fn proof(&self, of: Prover, nonces: Nonces<'_>) -> String {
        let who = match of {
            Prover::Leader => "leader",
            Prover::Worker => "worker",
        };
        let text = format!("bareflight {who} {} {}", nonces.leader, nonces.worker);
        hexadecimal(&hmac(self.0.as_bytes(), text.as_bytes()))
    }

    /// Whether this is the proof. Every byte is compared, so that the time does not reveal where they differ.
    pub(super) fn is_proved(&self, told: &str, by: Prover, nonces: Nonces<'_>) -> bool {
        let wanted = self.proof(by, nonces);
        let differing = wanted.bytes().zip(told.bytes()).fold(0, |seen, (a, b)| seen | (a ^ b));
        wanted.len() == told.len() && std::hint::black_box(differing) == 0
    }
}

/// A text that nobody can guess.
pub(super) fn random_text() -> io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(hexadecimal(&bytes))
}

fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let with = |pad: u8| Sha256::new().chain_update(block.map(|byte| byte ^ pad));
    let inner = with(0x36).chain_update(text).finalize();
    with(0x5c).chain_update(inner).finalize().into()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text does not fail.
        let _done = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_that_of_the_standard() {
        // RFC 4231, test cases 2 and 6.
        let short = hmac(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(
            hexadecimal(&short),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        let long = hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(
            hexadecimal(&long),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn a_proof_holds_for_one_key_one_side_and_one_call() {
        let (key, other) = (Key::of("0123456789abcdef"), Key::of("0123456789abcdeg"));
        let nonces = Nonces { leader: "a", worker: "b" };
        let proof = key.proof(Prover::Worker, nonces);
        assert!(key.is_proved(&proof, Prover::Worker, nonces));
        assert!(!other.is_proved(&proof, Prover::Worker, nonces));
        assert!(!key.is_proved(&proof, Prover::Leader, nonces));
        assert!(!key.is_proved(&proof, Prover::Worker, Nonces { leader: "c", ..nonces }));
        assert!(!key.is_proved(&proof[1..], Prover::Worker, nonces));
        assert!(!key.is_proved("", Prover::Worker, nonces));
    }

    #[test]
    fn a_key_that_is_missing_or_short_is_refused_without_showing_it() {
        for (value, named) in [("", "not set or empty"), ("secret", "openssl rand")] {
            let error = Key::checked(value, "KEY").err().expect(value).to_string();
            assert!(error.contains(named) && error.contains("`KEY`"), "{error}");
            assert!(value.is_empty() || !error.contains(value), "{error}");
        }
    }
}
