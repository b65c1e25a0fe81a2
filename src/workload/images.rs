//! Images of requests: noise as PNG of an asked size, files as URLs of their data.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use rand::RngCore;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

/// Longest side of an image that is made.
pub const LONGEST_SIDE: u32 = 8_192;

/// Most images of one request.
pub const MOST_IMAGES: u32 = 64;

/// Bytes of files that are held at most, as text.
const MOST_BYTES: usize = 1 << 30;

/// Images that are not made, but given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GivenImages {
    /// What they are.
    pub from: ImagesFrom,
    /// So many go with each request.
    pub each: u32,
}

/// Where given images come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImagesFrom {
    /// Every image in a folder, by name; sent as data.
    Folder(PathBuf),
    /// Addresses that the server fetches.
    Urls(Vec<String>),
}

/// Images as they are sent, each as a URL: of its data, or of where it lies. In turns.
#[derive(Clone, PartialEq, Eq)]
pub struct ImageUrls {
    all: Arc<[Arc<str>]>,
    each: u32,
}

impl fmt::Debug for ImageUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImageUrls")
            .field("images", &self.all.len())
            .field("each", &self.each)
            .finish()
    }
}

/// Why images cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A file or folder cannot be read.
    #[error("`{}` cannot be read: {why}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// A file that is no image.
    #[error("`{}` is no PNG, JPEG, WebP or GIF image: give files that servers take", .0.display())]
    Kind(PathBuf),
    /// Nothing in a folder.
    #[error("`{}` holds no file named .png, .jpg, .jpeg, .webp or .gif: name a folder of images", .0.display())]
    Nothing(PathBuf),
    /// More than memory should hold.
    #[error("the images of `{}` are more than {} MiB as text: take fewer of them", path.display(), MOST_BYTES >> 20)]
    TooMuch {
        /// Which folder.
        path: PathBuf,
    },
}

impl ImageUrls {
    /// Reads what was given.
    ///
    /// # Errors
    /// When a file cannot be read, or is no image.
    pub fn read(given: &GivenImages) -> Result<Self, ImageError> {
        let all: Vec<Arc<str>> = match &given.from {
            ImagesFrom::Urls(urls) => urls.iter().map(|url| Arc::from(url.as_str())).collect(),
            ImagesFrom::Folder(path) => of_folder(path)?,
        };
        Ok(Self { all: all.into(), each: given.each })
    }

    /// Those of a request.
    pub fn of(&self, index: u32) -> Arc<[Arc<str>]> {
        let first = u64::from(index) * u64::from(self.each);
        let place = |number: u64| ((first + number) % self.all.len() as u64) as usize;
        (0..u64::from(self.each)).map(|number| Arc::clone(&self.all[place(number)])).collect()
    }

    /// Bytes of those of one request, about.
    pub fn bytes_each(&self) -> u64 {
        let all: usize = self.all.iter().map(|url| url.len()).sum();
        (all / self.all.len().max(1)) as u64 * u64::from(self.each)
    }

    /// All of them.
    pub fn all(&self) -> &[Arc<str>] {
        &self.all
    }
}

fn of_folder(path: &Path) -> Result<Vec<Arc<str>>, ImageError> {
    let unread = |why| ImageError::Read { path: path.to_owned(), why };
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unread)? {
        let file = entry.map_err(unread)?.path();
        let extension = file.extension().map(|it| it.to_string_lossy().to_lowercase());
        if extension.is_some_and(|it| ["png", "jpg", "jpeg", "webp", "gif"].contains(&&*it)) {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(ImageError::Nothing(path.to_owned()));
    }
    let mut bytes = 0;
    files
        .iter()
        .map(|file| {
            let url = data_url_of(file)?;
            bytes += url.len();
            if bytes > MOST_BYTES {
                return Err(ImageError::TooMuch { path: path.to_owned() });
            }
            Ok(url)
        })
        .collect()
}

/// A file as a URL that holds its data.
///
/// # Errors
/// When it cannot be read, or is no image.
pub fn data_url_of(path: &Path) -> Result<Arc<str>, ImageError> {
    let bytes = fs::read(path).map_err(|why| ImageError::Read { path: path.to_owned(), why })?;
    data_url_of_bytes(&bytes).ok_or_else(|| ImageError::Kind(path.to_owned()))
}

/// The bytes of an image as a URL that holds them; `None` where they are none.
pub fn data_url_of_bytes(bytes: &[u8]) -> Option<Arc<str>> {
    let kind = match bytes {
        [0x89, b'P', b'N', b'G', ..] => "png",
        [0xff, 0xd8, 0xff, ..] => "jpeg",
        [b'G', b'I', b'F', b'8', ..] => "gif",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "webp",
        _ => return None,
    };
    Some(data_url(kind, bytes))
}

/// A PNG of this size whose pixels are random, so that nothing compresses it, as a URL that holds its data.
///
/// # Panics
/// Never: a vector takes every byte.
pub fn noise(rng: &mut Xoshiro256PlusPlus, width: u32, height: u32) -> Arc<str> {
    data_url("png", &noise_png(rng, width, height).expect("a vector takes every byte"))
}

/// Bytes of such a URL.
pub fn noise_bytes(width: u32, height: u32) -> u64 {
    u64::from(width) * u64::from(height) * 4
}

fn noise_png(rng: &mut Xoshiro256PlusPlus, width: u32, height: u32) -> io::Result<Vec<u8>> {
    let mut pixels = ZlibEncoder::new(Vec::new(), Compression::none());
    // Each row begins with the number of its filter: none.
    let mut row = vec![0; 1 + 3 * width as usize];
    for _ in 0..height {
        rng.fill_bytes(&mut row[1..]);
        pixels.write_all(&row)?;
    }
    let mut png = vec![0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'];
    let mut header = Vec::with_capacity(13);
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    // Eight bits of red, green and blue; deflate, the usual filters, not interlaced.
    header.extend([8, 2, 0, 0, 0]);
    put_chunk(&mut png, *b"IHDR", &header);
    put_chunk(&mut png, *b"IDAT", &pixels.finish()?);
    put_chunk(&mut png, *b"IEND", &[]);
    Ok(png)
}

fn put_chunk(png: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    png.extend((data.len() as u32).to_be_bytes());
    png.extend(kind);
    png.extend(data);
    let mut crc = Crc::new();
    crc.update(&kind);
    crc.update(data);
    png.extend(crc.sum().to_be_bytes());
}

fn data_url(kind: &str, bytes: &[u8]) -> Arc<str> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut url = format!("data:image/{kind};base64,");
    url.reserve(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at) & 63) as usize];
            url.push(if at as usize > three.len() { '=' } else { char::from(letter) });
        }
    }
    url.into()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::workload::seeds::generator;

    #[test]
    fn letters_of_data_are_those_of_base64_with_its_padding() {
        for (bytes, letters) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            let url = data_url("png", bytes.as_bytes());
            assert_eq!(&*url, format!("data:image/png;base64,{letters}"));
        }
    }

    #[test]
    fn noise_is_a_png_of_the_asked_size_that_nothing_compresses() {
        let png = noise_png(&mut generator(1), 33, 21).expect("bytes");
        assert_eq!((&png[12..16], &png[16..24]), (&b"IHDR"[..], &[0, 0, 0, 33, 0, 0, 0, 21][..]));
        let data_at = png.windows(4).position(|it| it == b"IDAT").expect("pixels") + 4;
        let mut pixels = Vec::new();
        flate2::read::ZlibDecoder::new(&png[data_at..]).read_to_end(&mut pixels).expect("zlib");
        assert_eq!(pixels.len(), 21 * (1 + 3 * 33));
        let mut smaller = flate2::write::GzEncoder::new(Vec::new(), Compression::best());
        smaller.write_all(&png).expect("a vector");
        assert!(smaller.finish().expect("a vector").len() as f64 > 0.95 * png.len() as f64);
        let other = noise_png(&mut generator(2), 33, 21).expect("bytes");
        assert_ne!(png, other);
        assert_eq!(png, noise_png(&mut generator(1), 33, 21).expect("bytes"));
    }

    #[test]
    fn files_go_by_their_names_in_turns_and_what_is_no_image_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        for (name, bytes) in
            [("b.jpg", &[0xff, 0xd8, 0xff, 1][..]), ("a.png", b"\x89PNG1"), ("x.txt", b"t")]
        {
            fs::write(path.join(name), bytes).expect("a file");
        }
        let given = GivenImages { from: ImagesFrom::Folder(path.into()), each: 3 };
        let urls = ImageUrls::read(&given).expect("two images");
        let starts: Vec<_> = urls.of(1).iter().map(|it| it[..16].to_owned()).collect();
        assert_eq!(starts, ["data:image/jpeg;", "data:image/png;b", "data:image/jpeg;"]);
        fs::write(path.join("c.png"), "text").expect("a file");
        let error = ImageUrls::read(&given).expect_err("no image").to_string();
        assert!(error.contains("c.png"), "{error}");
    }
}
