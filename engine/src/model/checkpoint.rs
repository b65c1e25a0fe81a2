//! Index of a directory's safetensors files, read one tensor at a time.
//!
//! Format: eight bytes of little-endian header length, a JSON header (name, dtype, shape, offsets), raw data. Each tensor is
//! read by itself, so that memory holds one unquantised matrix and never a whole file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

use crate::error::OpenError;

/// A JSON header beyond this is not a header.
const MAX_HEADER_BYTES: u64 = 256 << 20;

#[derive(Deserialize)]
struct HeaderEntry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

struct Entry {
    file: usize,
    dtype: DType,
    shape: Vec<usize>,
    start: u64,
    bytes: usize,
}

pub(crate) struct Checkpoint {
    directory: PathBuf,
    files: Vec<(PathBuf, File)>,
    entries: BTreeMap<String, Entry>,
}

impl Checkpoint {
    /// Indexes `model.safetensors.index.json`'s shards if there is one, else every `*.safetensors` file.
    pub(crate) fn open(directory: &Path) -> Result<Checkpoint, OpenError> {
        let mut checkpoint = Checkpoint {
            directory: directory.to_path_buf(),
            files: Vec::new(),
            entries: BTreeMap::new(),
        };
        for path in weight_files(directory)? {
            checkpoint.add_file(path)?;
        }
        Ok(checkpoint)
    }

    /// Reads one tensor and checks its shape; its dtype is as stored.
    pub(crate) fn tensor(&mut self, name: &str, expected: &[usize]) -> Result<Tensor, OpenError> {
        let entry = self.entries.get(name).ok_or_else(|| OpenError::MissingTensor {
            tensor: name.to_string(),
            place: match self.files.as_slice() {
                [(only, _)] => only.clone(),
                _ => self.directory.clone(),
            },
        })?;
        let (path, file) = &mut self.files[entry.file];
        if entry.shape != expected {
            return Err(OpenError::ShapeMismatch {
                tensor: name.to_string(),
                file: path.clone(),
                found: entry.shape.clone(),
                expected: expected.to_vec(),
            });
        }
        let mut data = vec![0u8; entry.bytes];
        file.seek(SeekFrom::Start(entry.start))
            .and_then(|_| file.read_exact(&mut data))
            .map_err(|source| OpenError::Read { path: path.clone(), source })?;
        Tensor::from_raw_buffer(&data, entry.dtype, expected, &Device::Cpu)
            .map_err(|source| OpenError::Arithmetic { doing: "reading a tensor", source })
    }

    fn add_file(&mut self, path: PathBuf) -> Result<(), OpenError> {
        let (file, data_start, data_len, header) = read_header(&path)?;
        let index = self.files.len();
        for (name, value) in header {
            if name == "__metadata__" {
                continue;
            }
            let entry = HeaderEntry::deserialize(value)
                .map_err(|e| malformed(&path, format!("header of tensor '{name}': {e}")))?;
            let dtype = stored_dtype(&entry.dtype).ok_or_else(|| OpenError::Unsupported {
                path: path.clone(),
                reason: format!(
                    "tensor '{name}' is stored as {}; F32, F16 and BF16 can be loaded (a quantised checkpoint cannot)",
                    entry.dtype
                ),
            })?;
            let bytes = entry.shape.iter().product::<usize>() * dtype.size_in_bytes();
            let [from, to] = entry.data_offsets;
            if to > data_len || from.checked_add(bytes as u64) != Some(to) {
                return Err(malformed(
                    &path,
                    format!(
                        "tensor '{name}' lies at {from}..{to}, which does not fit its shape or the file (truncated?)"
                    ),
                ));
            }
            self.entries.insert(
                name,
                Entry { file: index, dtype, shape: entry.shape, start: data_start + from, bytes },
            );
        }
        self.files.push((path, file));
        Ok(())
    }
}

type Header = serde_json::Map<String, serde_json::Value>;

/// The open file, where its data starts and how long it is, and its header.
fn read_header(path: &Path) -> Result<(File, u64, u64, Header), OpenError> {
    let unreadable = |source| OpenError::Read { path: path.to_path_buf(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    let file_len = file.metadata().map_err(unreadable)?.len();
    let mut length = [0u8; 8];
    file.read_exact(&mut length).map_err(unreadable)?;
    let header_len = u64::from_le_bytes(length);
    if header_len > MAX_HEADER_BYTES || header_len + 8 > file_len {
        return Err(malformed(
            path,
            format!("its header claims {header_len} bytes of a file of {file_len}"),
        ));
    }
    let mut text = vec![0u8; header_len as usize];
    file.read_exact(&mut text).map_err(unreadable)?;
    let header =
        serde_json::from_slice(&text).map_err(|e| malformed(path, format!("header: {e}")))?;
    Ok((file, 8 + header_len, file_len - 8 - header_len, header))
}

fn weight_files(directory: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let index = directory.join("model.safetensors.index.json");
    if index.exists() {
        return indexed_files(directory, &index);
    }
    let listing = std::fs::read_dir(directory)
        .map_err(|source| OpenError::Read { path: directory.to_path_buf(), source })?;
    let mut files: Vec<PathBuf> = listing
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(OpenError::Unsupported {
            path: directory.to_path_buf(),
            reason: "it holds no *.safetensors file (other weight formats cannot be loaded)"
                .to_string(),
        });
    }
    Ok(files)
}

fn indexed_files(directory: &Path, index: &Path) -> Result<Vec<PathBuf>, OpenError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let text = std::fs::read(index)
        .map_err(|source| OpenError::Read { path: index.to_path_buf(), source })?;
    let parsed: Index =
        serde_json::from_slice(&text).map_err(|e| malformed(index, e.to_string()))?;
    let mut names: Vec<String> = parsed.weight_map.into_values().collect();
    names.sort();
    names.dedup();
    Ok(names.into_iter().map(|name| directory.join(name)).collect())
}

fn stored_dtype(name: &str) -> Option<DType> {
    match name {
        "F32" => Some(DType::F32),
        "F16" => Some(DType::F16),
        "BF16" => Some(DType::BF16),
        _ => None,
    }
}

fn malformed(path: &Path, reason: String) -> OpenError {
    OpenError::Malformed { path: path.to_path_buf(), reason }
}
