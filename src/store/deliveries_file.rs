//! `deliveries.csv.gz`: the time of every delivery, written and read one row at a time.

use std::io::{BufReader, BufWriter, Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use crate::clock::MonoNs;
use crate::record::disk::remedy;
use crate::record::request_record::Arrival;
use crate::request::RequestId;

/// The columns, in order.
pub const COLUMNS: [&str; 4] = ["point", "request_id", "t_ns", "tokens"];

/// One delivery of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// Which point of the experiment.
    pub point: u32,
    /// Which request.
    pub id: RequestId,
    /// When, and how many tokens.
    pub arrival: Arrival,
}

/// Why deliveries could not be written, read or joined.
#[derive(Debug, thiserror::Error)]
pub enum DeliveriesError {
    /// The file itself; a file cut short ends here too.
    #[error(
        "deliveries cannot be read or written, the file may have been cut short: {0}{then}",
        then = remedy(.0)
    )]
    File(#[from] std::io::Error),
    /// The first line is another one.
    #[error("this is no file of deliveries: its first line is not `point,request_id,t_ns,tokens`")]
    NotDeliveries,
    /// A line is no delivery.
    #[error(
        "line {line} of the deliveries, `{text}`, is not `point,request_id,t_ns,tokens` in whole numbers"
    )]
    Line {
        /// From 1, the header included.
        line: u64,
        /// What it holds.
        text: String,
    },
    /// A delivery of a request that is not among the requests.
    #[error(
        "the deliveries name request {0}, which is not among the requests: the two files are not of one run"
    )]
    UnknownRequest(u32),
}

/// Writes deliveries as they come.
#[derive(Debug)]
pub struct DeliveriesWriter<W: Write> {
    out: BufWriter<GzEncoder<W>>,
}

impl<W: Write> DeliveriesWriter<W> {
    /// Writes the header.
    pub fn new(out: W) -> Result<Self, DeliveriesError> {
        let mut writer = Self::after_header(out);
        writeln!(writer.out, "{}", COLUMNS.join(","))?;
        Ok(writer)
    }

    /// Goes on where a header stands already, as a further member of the compressed file.
    pub fn after_header(out: W) -> Self {
        // Stamps compress little further at a higher level.
        Self { out: BufWriter::new(GzEncoder::new(out, Compression::fast())) }
    }

    /// Writes one delivery.
    pub fn write(&mut self, delivery: Delivery) -> Result<(), DeliveriesError> {
        let Delivery { point, id, arrival } = delivery;
        Ok(writeln!(self.out, "{point},{},{},{}", id.0, arrival.at.0, arrival.tokens)?)
    }

    /// Ends the compressed stream; without this the file reads as cut short.
    pub fn finish(self) -> Result<W, DeliveriesError> {
        let gzip = self.out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        Ok(gzip.finish()?)
    }
}

/// Reads deliveries one after the other, in the order in which they were written.
#[derive(Debug)]
pub struct DeliveriesReader<R: Read> {
    text: BufReader<MultiGzDecoder<R>>,
    line: String,
    number: u64,
}

impl<R: Read> DeliveriesReader<R> {
    /// Reads the header.
    pub fn new(from: R) -> Result<Self, DeliveriesError> {
        let text = BufReader::with_capacity(1 << 16, MultiGzDecoder::new(from));
        let mut reader = Self { text, line: String::new(), number: 0 };
        let is_header = reader.read_line()? && reader.line == COLUMNS.join(",");
        if is_header { Ok(reader) } else { Err(DeliveriesError::NotDeliveries) }
    }

    /// `false` at the end of the file.
    fn read_line(&mut self) -> Result<bool, DeliveriesError> {
        use std::io::BufRead;
        self.line.clear();
        self.number += 1;
        let read = self.text.read_line(&mut self.line)?;
        self.line.truncate(self.line.trim_end_matches(['\n', '\r']).len());
        Ok(read > 0)
    }

    fn parse(&self) -> Option<Delivery> {
        let mut fields = self.line.split(',');
        let delivery = Delivery {
            point: fields.next()?.parse().ok()?,
            id: RequestId(fields.next()?.parse().ok()?),
            arrival: Arrival {
                at: MonoNs(fields.next()?.parse().ok()?),
                tokens: fields.next()?.parse().ok()?,
            },
        };
        fields.next().is_none().then_some(delivery)
    }
}

impl<R: Read> Iterator for DeliveriesReader<R> {
    type Item = Result<Delivery, DeliveriesError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.read_line() {
            Err(error) => Some(Err(error)),
            Ok(false) => None,
            Ok(true) => Some(self.parse().ok_or_else(|| DeliveriesError::Line {
                line: self.number,
                text: self.line.clone(),
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(point: u32, id: u32, at: i64, tokens: u32) -> Delivery {
        Delivery { point, id: RequestId(id), arrival: Arrival { at: MonoNs(at), tokens } }
    }

    fn written(deliveries: &[Delivery]) -> Vec<u8> {
        let mut writer = DeliveriesWriter::new(Vec::new()).unwrap();
        for delivery in deliveries {
            writer.write(*delivery).unwrap();
        }
        writer.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Vec<Delivery>, DeliveriesError> {
        DeliveriesReader::new(bytes)?.collect()
    }

    fn zipped(text: &str) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.finish().unwrap()
    }

    #[test]
    fn a_file_cut_short_is_an_error_and_not_a_shorter_run() {
        let all: Vec<_> = (0..5_000).map(|i| delivery(0, i, i64::from(i) * 7_919, 1)).collect();
        let bytes = written(&all);
        assert!(matches!(read(&bytes[..bytes.len() / 2]), Err(DeliveriesError::File(_))));
    }

    #[test]
    fn another_file_is_not_taken_for_deliveries() {
        assert!(matches!(read(&zipped("a,b\n1,2\n")), Err(DeliveriesError::NotDeliveries)));
        assert!(matches!(read(b"point,request_id"), Err(DeliveriesError::File(_))));
        let bad = zipped("point,request_id,t_ns,tokens\n0,1,2,3\n0,1,2\n");
        let error = read(&bad).unwrap_err().to_string();
        assert!(error.starts_with("line 3 of the deliveries, `0,1,2`, is not"), "{error}");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let all = [delivery(0, 3, -5, 0), delivery(1, u32::MAX, i64::MAX, u32::MAX)];
        assert_eq!(read(&written(&all)).unwrap(), all);
        assert_eq!(read(&written(&[])).unwrap(), []);
    }
}
