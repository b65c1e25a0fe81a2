//! Reader of an ELF file's dynamic section: needed libraries and search paths.
//!
//! Only its headers and its table of names are read: `libtensorrt_llm.so` has more than a gigabyte.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What a shared object or program asks of the loader.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dynamic {
    /// `DT_NEEDED`: names of libraries, in order.
    pub needed: Vec<String>,
    /// `DT_RPATH`: folders for this object and for what it loads.
    pub rpath: Vec<String>,
    /// `DT_RUNPATH`: folders for this object only.
    pub runpath: Vec<String>,
}

/// Why a file could not be read as a shared object.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// The file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The format.
    #[error("it is no 64-bit little-endian ELF file")]
    Format,
    /// Its tables point outside themselves.
    #[error("its dynamic section is damaged")]
    Damaged,
}

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_STRSZ: u64 = 10;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;
/// No real dynamic section or table of names is larger.
const MOST_BYTES: u64 = 64 << 20;

/// A part of the file that is loaded, and where.
struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    length: u64,
}

impl Dynamic {
    /// Reads the dynamic section; a program that is linked statically has an empty one.
    ///
    /// # Errors
    /// When the file cannot be read or is no ELF file of this kind of machine.
    pub fn read(path: &Path) -> Result<Self, ElfError> {
        let file = File::open(path)?;
        let segments = segments(&file)?;
        let Some(section) = segments.iter().find(|segment| segment.kind == PT_DYNAMIC) else {
            return Ok(Self::default());
        };
        let table = part(&file, section.offset, section.length)?;
        let entries: Vec<(u64, u64)> = table
            .chunks_exact(16)
            .map(|entry| (u64_at(entry, 0), u64_at(entry, 8)))
            .take_while(|(tag, _)| *tag != DT_NULL)
            .collect();
        let value =
            |wanted: u64| entries.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value);
        let (address, length) = value(DT_STRTAB).zip(value(DT_STRSZ)).ok_or(ElfError::Damaged)?;
        let loaded = segments
            .iter()
            .find(|s| s.kind == PT_LOAD && (s.address..s.address + s.length).contains(&address))
            .ok_or(ElfError::Damaged)?;
        let names = part(&file, loaded.offset + (address - loaded.address), length)?;
        let named = |wanted: u64| {
            let of_tag = entries.iter().filter(move |(tag, _)| *tag == wanted);
            of_tag.map(|(_, at)| name_at(&names, *at)).collect::<Result<Vec<_>, _>>()
        };
        let folders = |lists: Vec<String>| {
            let parts = lists.iter().flat_map(|list| list.split(':'));
            parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        Ok(Self {
            needed: named(DT_NEEDED)?,
            rpath: folders(named(DT_RPATH)?),
            runpath: folders(named(DT_RUNPATH)?),
        })
    }
}

fn segments(file: &File) -> Result<Vec<Segment>, ElfError> {
    let mut head = [0; 64];
    file.read_exact_at(&mut head, 0).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => ElfError::Format,
        _ => ElfError::Io(error),
    })?;
    let is_elf64_little = head.starts_with(b"\x7fELF\x02\x01");
    if !is_elf64_little {
        return Err(ElfError::Format);
    }
    let (offset, size, count) = (u64_at(&head, 32), u16_at(&head, 54), u16_at(&head, 56));
    if size < 56 {
        return Err(ElfError::Format);
    }
    let table = part(file, offset, u64::from(size) * u64::from(count))?;
    let segment = |entry: &[u8]| Segment {
        kind: u32_at(entry, 0),
        offset: u64_at(entry, 8),
        address: u64_at(entry, 16),
        length: u64_at(entry, 32),
    };
    Ok(table.chunks_exact(usize::from(size)).map(segment).collect())
}

fn part(file: &File, offset: u64, length: u64) -> Result<Vec<u8>, ElfError> {
    if length > MOST_BYTES {
        return Err(ElfError::Damaged);
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

fn name_at(names: &[u8], at: u64) -> Result<String, ElfError> {
    let rest = usize::try_from(at).ok().and_then(|at| names.get(at..)).ok_or(ElfError::Damaged)?;
    let end = rest.iter().position(|byte| *byte == 0).ok_or(ElfError::Damaged)?;
    Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_program_needs_the_c_library() {
        let own = std::env::current_exe().expect("a path");
        let dynamic = Dynamic::read(&own).expect("an ELF file");
        assert!(dynamic.needed.iter().any(|name| name.starts_with("libc.so")), "{dynamic:?}");
    }

    #[test]
    fn a_file_that_is_no_shared_object_is_refused_whatever_its_length() {
        for bytes in [&b""[..], b"\x7fELF", &[0x7f; 200]] {
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), bytes).expect("written");
            assert!(matches!(Dynamic::read(file.path()), Err(ElfError::Format)));
        }
    }

    #[test]
    fn a_file_that_is_cut_short_is_an_error_and_no_panic() {
        let own = std::fs::read(std::env::current_exe().expect("a path")).expect("readable");
        for length in [64, 100, 1_000] {
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), &own[..length]).expect("written");
            assert!(Dynamic::read(file.path()).is_err(), "{length} bytes");
        }
    }
}
