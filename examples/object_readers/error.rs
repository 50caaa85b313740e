//! What can go wrong with an object, told so that it can be acted on.

use std::error::Error;
use std::fmt;

use crate::archive::Malformed;

/// An object that could not be opened or read, and why.
#[derive(Debug)]
pub struct ObjectError {
    /// The object with the store that it is in, as a user would write it.
    object: String,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    Store(object_store::Error),
    Malformed(Malformed),
    Changed,
    Cut { wanted: u64, got: u64 },
}

impl ObjectError {
    fn new(object: &str, problem: Problem) -> Self {
        ObjectError { object: object.to_owned(), problem }
    }

    /// For what the store says.
    pub fn store(object: &str, error: object_store::Error) -> Self {
        match error {
            object_store::Error::Precondition { .. } => Self::changed(object),
            error => Self::new(object, Problem::Store(error)),
        }
    }

    /// For what is wrong with the object's contents.
    pub fn malformed(object: &str, what: Malformed) -> Self {
        Self::new(object, Problem::Malformed(what))
    }

    /// For an object that is not the one that was opened.
    pub fn changed(object: &str) -> Self {
        Self::new(object, Problem::Changed)
    }

    /// For an answer that is shorter than what was asked for.
    pub fn cut(object: &str, wanted: u64, got: u64) -> Self {
        Self::new(object, Problem::Cut { wanted, got })
    }

    /// Whether the object was replaced since it was opened, so that opening it again may help.
    pub fn is_change(&self) -> bool {
        matches!(self.problem, Problem::Changed)
    }

    /// Whether other objects of the store may well be readable.
    pub fn concerns_one_object(&self) -> bool {
        match &self.problem {
            Problem::Store(error) => matches!(error, object_store::Error::NotFound { .. }),
            Problem::Malformed(_) | Problem::Changed | Problem::Cut { .. } => true,
        }
    }
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use object_store::Error::*;
        write!(f, "{}: ", self.object)?;
        match &self.problem {
            Problem::Store(NotFound { .. }) => f.write_str("not found"),
            Problem::Store(error @ (PermissionDenied { .. } | Unauthenticated { .. })) => {
                write!(f, "access denied, check the credentials: {}", Causes(error))
            }
            // Its own words are for those who know the crate.
            Problem::Store(Generic { source, .. }) => Causes(&**source).fmt(f),
            Problem::Store(error) => Causes(error).fmt(f),
            Problem::Malformed(what) => what.fmt(f),
            Problem::Changed => f.write_str("replaced since it was opened"),
            Problem::Cut { wanted, got } => {
                write!(f, "only {got} of {wanted} bytes came: it was cut since it was opened")
            }
        }
    }
}

impl Error for ObjectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.problem {
            Problem::Store(error) => Some(error),
            _ => None,
        }
    }
}

/// An error with its causes. Those that a message repeats already are left out: the layers below
/// the store do not agree whether to do so.
pub struct Causes<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = self.0.to_string();
        let mut next = self.0.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            if !told.contains(&text) {
                told = format!("{told}: {text}");
            }
            next = cause.source();
        }
        f.write_str(&told)
    }
}
