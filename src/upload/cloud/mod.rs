//! Object stores of clouds, in builds with the feature `upload`.

#[cfg(feature = "upload")]
mod aws_profile;
#[cfg(feature = "upload")]
mod cloud_store;
#[cfg(feature = "upload")]
mod http;
#[cfg(feature = "upload")]
mod open;

use super::Patience;
use super::store::{Store, StoreError};
use crate::settings::upload_place::UploadPlace;

/// Whether this build reaches it.
///
/// # Errors
/// With the command that builds one that does.
pub fn check_build(_place: &UploadPlace) -> Result<(), StoreError> {
    if cfg!(feature = "upload") { Ok(()) } else { Err(StoreError::NotBuilt) }
}

/// The store of a place.
///
/// # Errors
/// When a setting of the environment is missing or wrong.
#[cfg(feature = "upload")]
pub fn open(place: &UploadPlace, patience: Patience) -> Result<Box<dyn Store>, StoreError> {
    Ok(Box::new(cloud_store::CloudStore::new(place, patience)?))
}

/// None, in this build.
///
/// # Errors
/// Always, with the command that builds what is missing.
#[cfg(not(feature = "upload"))]
pub fn open(_place: &UploadPlace, _patience: Patience) -> Result<Box<dyn Store>, StoreError> {
    Err(StoreError::NotBuilt)
}
