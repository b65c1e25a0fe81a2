//! Opening of workload files: plain, gzip or zstd by their first bytes; a byte order mark is left out.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const UTF8_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];
const UTF16_MARKS: [[u8; 2]; 2] = [[0xff, 0xfe], [0xfe, 0xff]];

/// Bytes read at a time.
const BUFFER: usize = 256 << 10;

/// Whether a file's name ends so, compressed or not.
pub(super) fn has_extension(path: &Path, name: &str) -> bool {
    let all = path.file_name().map(|it| it.to_string_lossy().to_lowercase()).unwrap_or_default();
    let plain = all.trim_end_matches(".gz").trim_end_matches(".zst");
    Path::new(plain).extension().is_some_and(|extension| extension == name)
}

/// The bytes of a file, decompressed.
pub(super) fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let mut file = BufReader::with_capacity(BUFFER, File::open(path)?);
    let head = file.fill_buf()?;
    let bytes: Box<dyn Read> = if head.starts_with(&GZIP) {
        Box::new(MultiGzDecoder::new(file))
    } else if head.starts_with(&ZSTD) {
        Box::new(Frames { file: Some(file), frame: None })
    } else {
        return unmarked(file);
    };
    unmarked(BufReader::with_capacity(BUFFER, bytes))
}

fn unmarked(mut bytes: impl BufRead + 'static) -> io::Result<Box<dyn BufRead>> {
    let head = bytes.fill_buf()?;
    if UTF16_MARKS.iter().any(|mark| head.starts_with(mark)) {
        return Err(io::Error::other("it is UTF-16: convert it to UTF-8"));
    }
    if head.starts_with(&UTF8_MARK) {
        bytes.consume(UTF8_MARK.len());
    }
    Ok(Box::new(bytes))
}

type Source = BufReader<File>;
type Frame = StreamingDecoder<Source, ruzstd::decoding::FrameDecoder>;

/// The frames of a zstd file, one after the other.
struct Frames {
    file: Option<Source>,
    frame: Option<Frame>,
}

impl Read for Frames {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                let read = frame.read(into)?;
                if read > 0 || into.is_empty() {
                    return Ok(read);
                }
                self.file = self.frame.take().map(StreamingDecoder::into_inner);
            }
            let Some(mut file) = self.file.take() else { return Ok(0) };
            if file.fill_buf()?.is_empty() {
                return Ok(0);
            }
            self.frame = Some(StreamingDecoder::new(file).map_err(io::Error::other)?);
        }
    }
}
