//! Opening of workload files: plain, gzip or zstd by their first bytes; a byte order mark is left out.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The first byte of a frame without content is one of sixteen, and this follows: pzstd and seekable files have such frames.
const SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];
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
    } else if head.starts_with(&ZSTD) || is_skippable(head) {
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

fn is_skippable(head: &[u8]) -> bool {
    matches!(head, [0x50..=0x5f, rest @ ..] if rest.starts_with(&SKIPPABLE))
}

/// A file behind the first bytes of a frame, which have been looked at.
type Source = io::Chain<io::Cursor<Vec<u8>>, BufReader<File>>;
type Frame = StreamingDecoder<Source, ruzstd::decoding::FrameDecoder>;

/// The frames of a zstd file, one after the other.
struct Frames {
    file: Option<BufReader<File>>,
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
                self.file = self.frame.take().map(|frame| frame.into_inner().into_inner().1);
            }
            let Some(mut file) = self.file.take() else { return Ok(0) };
            let mut magic = Vec::new();
            file.by_ref().take(ZSTD.len() as u64).read_to_end(&mut magic)?;
            if magic.is_empty() {
                return Ok(0);
            }
            if is_skippable(&magic) {
                skip(&mut file)?;
                self.file = Some(file);
                continue;
            }
            let whole = io::Cursor::new(magic).chain(file);
            self.frame = Some(StreamingDecoder::new(whole).map_err(io::Error::other)?);
        }
    }
}

/// Goes behind a frame without content, whose first four bytes were read.
fn skip(file: &mut BufReader<File>) -> io::Result<()> {
    let mut length = [0; 4];
    file.read_exact(&mut length)?;
    let length = u64::from(u32::from_le_bytes(length));
    let skipped = io::copy(&mut file.take(length), &mut io::sink())?;
    if skipped < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of one uncompressed block (RFC 8878).
    fn frame(content: &[u8]) -> Vec<u8> {
        let length = content.len() as u8;
        // A single segment whose length is one byte; then the last block, raw.
        let head = [0x20, length, 1 | (length << 3), length >> 5, 0];
        [&ZSTD[..], &head, content].concat()
    }

    fn skippable(content: &[u8]) -> Vec<u8> {
        let length = (content.len() as u32).to_le_bytes();
        [&[0x5e][..], &SKIPPABLE, &length, content].concat()
    }

    fn read(bytes: &[u8]) -> io::Result<String> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), bytes)?;
        let mut text = String::new();
        open(file.path())?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn frames_follow_each_other_and_those_without_content_are_gone_over() {
        let (one, two) = (frame(b"one\n"), frame(b"two\n"));
        assert_eq!(read(&[&one[..], &two].concat()).expect("two frames"), "one\ntwo\n");
        let table = skippable(b"a table of where to seek");
        assert_eq!(
            read(&[&table[..], &one, &table, &two, &table].concat()).expect("seekable"),
            "one\ntwo\n"
        );
        assert!(read(&[&one[..], &table[..9]].concat()).is_err(), "cut off");
        assert!(read(&[&one[..], b"what is this"].concat()).is_err());
    }
}
