//! A request in the form in which a target hands it over, made ahead of its instant.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// What a target has made of a request before the clock counts; nothing where it makes nothing. Only the target that
/// made it knows its type.
#[derive(Clone, Default)]
pub struct Prepared(Option<Arc<dyn Any + Send + Sync>>);

impl Prepared {
    /// The form of one request.
    pub fn new<T: Any + Send + Sync>(form: T) -> Self {
        Self(Some(Arc::new(form)))
    }

    /// The form, where one of this type was made.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.0.clone()?.downcast().ok()
    }
}

/// Two requests that ask the same are equal, prepared or not.
impl PartialEq for Prepared {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Prepared" } else { "NotPrepared" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_type_that_was_put_in_comes_out() {
        let prepared = Prepared::new(String::from("POST"));
        assert_eq!(prepared.get::<String>().unwrap().as_str(), "POST");
        assert!(prepared.get::<u32>().is_none());
        assert!(Prepared::default().get::<String>().is_none());
    }
}
