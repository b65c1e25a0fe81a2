//! Version that a library was compiled with: the text which `tensorrt_llm::executor::version()` returns, read from the file.
//!
//! Loading the library would want a GPU's driver, which a machine that only builds has not. The function returns the address
//! of a constant, so its machine code names it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Mangled name of the function.
const FUNCTION: &str = "_ZN12tensorrt_llm8executor7versionEv";
/// Longer functions do more than to return a constant.
const LONGEST_CODE: u64 = 64;
const LONGEST_VERSION: usize = 64;
const SYMBOLS: u32 = 11;
const LOADED: u32 = 1;

/// Reads the version out of the file.
///
/// # Errors
/// Why it cannot be read, in a few words.
pub fn of(library: &Path) -> Result<String, String> {
    let file = File::open(library).map_err(|error| error.to_string())?;
    Elf::read(&file).ok_or("not a 64-bit ELF library")?.version()
}

#[derive(Clone, Copy)]
enum Machine {
    X86,
    Arm,
}

struct Elf<'a> {
    file: &'a File,
    machine: Machine,
    header: Vec<u8>,
}

impl<'a> Elf<'a> {
    fn read(file: &'a File) -> Option<Self> {
        const LITTLE_ENDIAN_64: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];
        let header = bytes(file, 0, 64)?;
        if header[..6] != LITTLE_ENDIAN_64 {
            return None;
        }
        let machine = match u16_at(&header, 18)? {
            62 => Machine::X86,
            183 => Machine::Arm,
            _ => return None,
        };
        Some(Self { file, machine, header })
    }

    fn version(&self) -> Result<String, String> {
        let (address, size) = self.function().ok_or("the function is not there")?;
        let size = if size == 0 { LONGEST_CODE } else { size.min(LONGEST_CODE) };
        let code = self.loaded(address, size).ok_or("its code cannot be read")?;
        let constants = match self.machine {
            Machine::X86 => addresses_x86(&code, address),
            Machine::Arm => addresses_arm(&code, address),
        };
        let texts = constants.into_iter().filter_map(|constant| self.text(constant));
        texts
            .into_iter()
            .find(|text| is_version(text))
            .ok_or_else(|| "its code returns no constant".into())
    }

    /// Address and size of the function in the table of dynamic symbols.
    fn function(&self) -> Option<(u64, u64)> {
        let sections = self.table(40, 58, 60)?;
        let symbols = sections.iter().find(|section| u32_at(section, 4) == Some(SYMBOLS))?;
        let names = sections.get(u32_at(symbols, 40)? as usize)?;
        let names = self.content(names)?;
        self.content(symbols)?.chunks_exact(24).find_map(|symbol| {
            let name = names.get(u32_at(symbol, 0)? as usize..)?;
            let is_it =
                name.starts_with(FUNCTION.as_bytes()) && name.get(FUNCTION.len()) == Some(&0);
            let is_defined = u16_at(symbol, 6)? != 0;
            (is_it && is_defined).then_some((u64_at(symbol, 8)?, u64_at(symbol, 16)?))
        })
    }

    /// Entries of the table whose place, size of an entry, and number the header has at these offsets.
    fn table(&self, place: usize, entry: usize, count: usize) -> Option<Vec<Vec<u8>>> {
        let from = u64_at(&self.header, place)?;
        let size = u64::from(u16_at(&self.header, entry)?);
        let count = u64::from(u16_at(&self.header, count)?);
        (0..count).map(|i| bytes(self.file, from + i * size, size)).collect()
    }

    fn content(&self, section: &[u8]) -> Option<Vec<u8>> {
        bytes(self.file, u64_at(section, 24)?, u64_at(section, 32)?)
    }

    /// Up to `size` bytes that are loaded at an address.
    fn loaded(&self, address: u64, size: u64) -> Option<Vec<u8>> {
        self.table(32, 54, 56)?.iter().find_map(|segment| {
            let begin = u64_at(segment, 16)?;
            let left = u64_at(segment, 32)?.checked_sub(address.checked_sub(begin)?)?;
            let is_loaded = u32_at(segment, 0)? == LOADED && left > 0;
            let from = u64_at(segment, 8)? + (address - begin);
            is_loaded.then(|| bytes(self.file, from, size.min(left)))?
        })
    }

    fn text(&self, address: u64) -> Option<String> {
        let bytes = self.loaded(address, LONGEST_VERSION as u64)?;
        let end = bytes.iter().position(|byte| *byte == 0)?;
        String::from_utf8(bytes[..end].to_vec()).ok()
    }
}

/// `lea rax, [rip + offset]`
fn addresses_x86(code: &[u8], address: u64) -> Vec<u64> {
    const LEA: [u8; 3] = [0x48, 0x8d, 0x05];
    let found = code.windows(7).enumerate().filter(|(_, window)| window[..3] == LEA);
    found
        .filter_map(|(i, window)| {
            let offset = u32_at(window, 3)? as i32;
            (address + i as u64 + 7).checked_add_signed(i64::from(offset))
        })
        .collect()
}

/// `adrp x0, page` and then `add x0, x0, offset`
fn addresses_arm(code: &[u8], address: u64) -> Vec<u64> {
    let words: Vec<u32> = code.chunks_exact(4).filter_map(|word| u32_at(word, 0)).collect();
    let pairs = words.windows(2).enumerate();
    let found = pairs.filter(|(_, pair)| {
        pair[0] & 0x9f00_001f == 0x9000_0000 && pair[1] & 0xffc0_03ff == 0x9100_0000
    });
    found
        .filter_map(|(i, pair)| {
            let pages = ((pair[0] >> 5 & 0x7_ffff) << 2 | pair[0] >> 29 & 3) << 11;
            let page = (address + 4 * i as u64) & !0xfff;
            let page = page.checked_add_signed(i64::from(pages as i32 >> 11) << 12)?;
            Some(page + u64::from(pair[1] >> 10 & 0xfff))
        })
        .collect()
}

/// Whether a text begins like `1.2.1`.
pub fn is_version(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit())
        && text.contains('.')
        && text.chars().all(|c| c.is_ascii_graphic())
}

fn bytes(file: &File, from: u64, size: u64) -> Option<Vec<u8>> {
    const MOST: u64 = 1 << 30;
    let mut bytes = vec![0; usize::try_from(size).ok().filter(|_| size < MOST)?];
    file.read_exact_at(&mut bytes, from).ok()?;
    Some(bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
