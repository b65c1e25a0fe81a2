//! Key that workers of other hosts must know. Both sides prove that they know it, and it is never sent.
//!
//! A proof is the HMAC-SHA256 (RFC 2104) of who proves and of a random text of each side, so that one that was overheard proves
//! nothing in another call.

use std::fmt::Write as _;
use std::io;

use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

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
        let proof = hmac::sign(&signing(self.0.as_bytes()), text(of, nonces).as_bytes());
        hexadecimal(proof.as_ref())
    }

    /// Whether this is the proof; the time that it takes does not reveal where it differs.
    pub(super) fn is_proved(&self, told: &str, by: Prover, nonces: Nonces<'_>) -> bool {
        let (key, text) = (signing(self.0.as_bytes()), text(by, nonces));
        bytes_of(told).is_some_and(|told| hmac::verify(&key, text.as_bytes(), &told).is_ok())
    }
}

/// What a proof is about.
fn text(of: Prover, nonces: Nonces<'_>) -> String {
    let who = match of {
        Prover::Leader => "leader",
        Prover::Worker => "worker",
    };
    format!("bareflight {who} {} {}", nonces.leader, nonces.worker)
}

/// A text that nobody can guess.
pub(super) fn random_text() -> io::Result<String> {
    let mut bytes = [0; 16];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| io::Error::other("the system gives no random bytes"))?;
    Ok(hexadecimal(&bytes))
}

fn signing(key: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, key)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text does not fail.
        let _done = write!(text, "{byte:02x}");
        text
    })
}

/// `None` of what is no bytes in hexadecimal digits.
fn bytes_of(text: &str) -> Option<Vec<u8>> {
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let byte = |at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_that_of_the_standard() {
        // RFC 4231, test cases 2 and 6.
        let code = |key: &[u8], text: &[u8]| hexadecimal(hmac::sign(&signing(key), text).as_ref());
        assert_eq!(
            code(b"Jefe", b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            code(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"),
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
