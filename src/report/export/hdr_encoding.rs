//! Histograms in HdrHistogram's compressed form V2, as letters of an interval log.

use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use hdrhistogram::Histogram;

use crate::network::base64;

/// Marks a plain histogram of the form V2, with counts of variable length.
const PLAIN: u32 = 0x1c84_9313;
/// Marks a compressed one.
const COMPRESSED: u32 = 0x1c84_9314;
/// A value in the log is one of ours; the form knows other ratios.
const VALUE_RATIO: f64 = 1.0;

/// A histogram as the last field of a line.
///
/// # Errors
/// Never in practice: the compressor writes into memory.
pub(super) fn encoded(histogram: &Histogram<u64>) -> io::Result<String> {
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::default());
    packer.write_all(&plain(histogram))?;
    let packed = packer.finish()?;
    let mut bytes = Vec::with_capacity(packed.len() + 8);
    bytes.extend(COMPRESSED.to_be_bytes());
    bytes.extend((packed.len() as u32).to_be_bytes());
    bytes.extend(packed);
    Ok(base64::encoded(&bytes))
}

fn plain(histogram: &Histogram<u64>) -> Vec<u8> {
    let counts = counts(histogram);
    let mut bytes = Vec::with_capacity(counts.len() + 40);
    bytes.extend(PLAIN.to_be_bytes());
    bytes.extend((counts.len() as u32).to_be_bytes());
    // Places of counts are not shifted.
    bytes.extend(0_u32.to_be_bytes());
    bytes.extend(u32::from(histogram.sigfig()).to_be_bytes());
    bytes.extend(histogram.low().to_be_bytes());
    bytes.extend(histogram.high().to_be_bytes());
    bytes.extend(VALUE_RATIO.to_be_bytes());
    bytes.extend(counts);
    bytes
}

/// Counts up to the largest value; several empty buckets in a row are one negative number.
fn counts(histogram: &Histogram<u64>) -> Vec<u8> {
    let (mut bytes, mut empty, mut left) = (Vec::new(), 0_i64, histogram.len());
    for bucket in histogram.iter_all() {
        if left == 0 {
            break;
        }
        let count = bucket.count_at_value();
        if count == 0 {
            empty += 1;
            continue;
        }
        match empty {
            0 => {}
            1 => put(&mut bytes, 0),
            several => put(&mut bytes, -several),
        }
        put(&mut bytes, count as i64);
        (empty, left) = (0, left.saturating_sub(count));
    }
    bytes
}

/// Seven bits a byte from the lowest, the ninth byte whole; signs alternate.
fn put(bytes: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    for _ in 0..8 {
        if rest < 0x80 {
            bytes.push(rest as u8);
            return;
        }
        bytes.push(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters_of(number: i64) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&mut bytes, number);
        bytes
    }

    #[test]
    fn a_number_takes_a_byte_for_seven_bits_and_nine_at_most() {
        assert_eq!(letters_of(0), [0]);
        assert_eq!(letters_of(-1), [1]);
        assert_eq!(letters_of(63), [126]);
        assert_eq!(letters_of(64), [0x80, 1]);
        assert_eq!(letters_of(i64::MIN), [0xff; 9]);
    }

    #[test]
    fn empty_buckets_in_a_row_are_one_number_and_those_behind_the_largest_value_none() {
        let mut histogram = Histogram::new_with_bounds(1, 3_600_000, 3).expect("bounds");
        for value in [1, 3, 3, 10] {
            histogram.record(value).expect("within bounds");
        }
        // Bucket 0 is empty, 1 has one, 2 is empty, 3 has two, six are empty, 10 has one.
        assert_eq!(counts(&histogram), [0, 2, 0, 4, 11, 2]);
    }
}
