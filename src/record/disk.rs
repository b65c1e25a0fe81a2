//! Remedy of a file of a run that cannot be written.

use std::io::{Error, ErrorKind};

/// What to do, as the end of a sentence; empty where the error is none of the disk.
pub fn remedy(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            ": free space there, or choose another place with `--out`"
        }
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
            ": choose a place that can be written with `--out`"
        }
        _ => "",
    }
}

/// The same of a table.
pub fn remedy_of_table(error: &csv::Error) -> &'static str {
    match error.kind() {
        csv::ErrorKind::Io(error) => remedy(error),
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_one_that_cannot_be_written_name_another_place() {
        for kind in [ErrorKind::StorageFull, ErrorKind::FileTooLarge, ErrorKind::PermissionDenied] {
            let error = csv::Error::from(Error::from(kind));
            assert!(remedy_of_table(&error).contains("`--out`"), "{kind}");
        }
        assert_eq!(remedy(&Error::from(ErrorKind::UnexpectedEof)), "");
    }
}
