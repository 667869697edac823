//! Master file to checked, wire-ready zone table, and back.

pub mod check; //    semantic checks, graded error or warning
pub mod generate; // $GENERATE
pub mod lexer; //    tokens of a master file
pub mod load; //     file to table, in one pass
pub mod master; //   entries of a master file (RFC 1035 §5)
pub mod print; //    a table back as a master file
pub mod report; //   what is wrong, told to the person who wrote the file
pub mod table; //    the sharded persistent table

use std::path::{Path, PathBuf};

use crate::dns::{Name, Type};

/// The world's files, handed in.
pub trait Files {
    /// Opens `path` for reading.
    ///
    /// # Errors
    /// As the operating system says.
    fn open(&self, path: &Path) -> std::io::Result<Box<dyn std::io::Read + '_>>;
    /// The path with links resolved, to confine `$INCLUDE`.
    ///
    /// # Errors
    /// As the operating system says.
    fn canonical(&self, path: &Path) -> std::io::Result<PathBuf>;
    /// The paths of all entries of a folder, in any order, for `include` of a configuration.
    ///
    /// # Errors
    /// As the operating system says; `Unsupported` where nothing is included.
    fn list(&self, _folder: &Path) -> std::io::Result<Vec<PathBuf>> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

/// One resource record of class IN.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    pub owner: Name,
    pub rtype: Type,
    pub ttl: u32,
    /// Uncompressed wire form, at most 65,535 bytes.
    pub rdata: Vec<u8>,
}
