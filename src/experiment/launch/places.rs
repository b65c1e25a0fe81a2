//! Placeholders of a launch: free ports and the folder of its log.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

/// What placeholders stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// `{port}`, where it is asked.
    pub port: u16,
    /// `{http_port}`, beside it.
    pub http_port: u16,
    /// `{metrics_port}`, beside it.
    pub metrics_port: u16,
    /// `{folder}`, where its log is.
    pub folder: PathBuf,
}

/// Every placeholder.
const NAMES: [&str; 4] = ["{port}", "{http_port}", "{metrics_port}", "{folder}"];

impl Places {
    /// Ports of loopback that are free now.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn free(folder: &Path) -> io::Result<Self> {
        // Held together, so that they differ.
        let held: Vec<TcpListener> = (0..3)
            .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .collect::<io::Result<_>>()?;
        let ports: Vec<u16> = held
            .iter()
            .map(|it| it.local_addr().map(|address| address.port()))
            .collect::<io::Result<_>>()?;
        let [port, http_port, metrics_port] = *ports.as_slice() else {
            return Err(io::Error::other("the system gave no three ports"));
        };
        Ok(Self { port, http_port, metrics_port, folder: folder.to_owned() })
    }

    /// With every placeholder filled in.
    pub fn fill(&self, text: &str) -> String {
        let values = [
            self.port.to_string(),
            self.http_port.to_string(),
            self.metrics_port.to_string(),
            self.folder.display().to_string(),
        ];
        NAMES
            .iter()
            .zip(values)
            .fold(text.to_owned(), |text, (name, value)| text.replace(name, &value))
    }
}

/// Whether a text names a free port.
pub fn names_a_port(text: &str) -> bool {
    NAMES[..3].iter().any(|name| text.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_in_and_other_braces_stay() {
        let places =
            Places { port: 1, http_port: 2, metrics_port: 3, folder: PathBuf::from("/runs/a") };
        let filled = places.fill(r#"{port} {http_port} {metrics_port} {folder}/x {"a":{}}"#);
        assert_eq!(filled, r#"1 2 3 /runs/a/x {"a":{}}"#);
    }

    #[test]
    fn free_ports_differ() {
        let Places { port, http_port, metrics_port, .. } =
            Places::free(Path::new("")).expect("ports");
        assert!(port != http_port && http_port != metrics_port && port != metrics_port);
    }
}
