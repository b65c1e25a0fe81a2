//! ZIP archives in memory, with a fixed date so that equal contents make equal bytes.

use std::io::{self, Write as _};

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
/// Of the form that has deflated files.
const VERSION: u16 = 20;
/// Names are UTF-8.
const UTF8: u16 = 1 << 11;
const DEFLATED: u16 = 8;
/// The first of January 1980, the earliest there is.
const DATE: u16 = 1 << 5 | 1;

/// An archive while files are added.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    central: Vec<u8>,
    files: u16,
}

impl Archive {
    /// Adds a file.
    pub(super) fn add(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut packer = DeflateEncoder::new(Vec::new(), Compression::default());
        packer.write_all(content)?;
        let packed = packer.finish()?;
        let mut crc = Crc::new();
        crc.update(content);
        let mut facts = Vec::new();
        for number in [VERSION, UTF8, DEFLATED, 0, DATE] {
            facts.extend(number.to_le_bytes());
        }
        for number in [crc.sum(), packed.len() as u32, content.len() as u32] {
            facts.extend(number.to_le_bytes());
        }
        facts.extend((name.len() as u16).to_le_bytes());
        facts.extend(0_u16.to_le_bytes());

        let place = self.bytes.len() as u32;
        self.bytes.extend(LOCAL.to_le_bytes());
        self.bytes.extend(&facts);
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(packed);

        self.central.extend(CENTRAL.to_le_bytes());
        self.central.extend(VERSION.to_le_bytes());
        self.central.extend(facts);
        // No comment, one disk, no attributes.
        self.central.extend([0; 10]);
        self.central.extend(place.to_le_bytes());
        self.central.extend(name.as_bytes());
        self.files += 1;
        Ok(())
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let (place, length) = (self.bytes.len() as u32, self.central.len() as u32);
        self.bytes.extend(self.central);
        self.bytes.extend(END.to_le_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend(self.files.to_le_bytes());
        self.bytes.extend(self.files.to_le_bytes());
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend(place.to_le_bytes());
        self.bytes.extend(0_u16.to_le_bytes());
        self.bytes
    }
}
