//! `volume COMMAND`: folders that outlive the containers that they are mounted in.

pub(crate) mod create;
pub(crate) mod filter;
pub(crate) mod inspect;
pub(crate) mod ls;
pub(crate) mod prune;
pub(crate) mod rm;

use std::str::FromStr;

use crate::grammar::{Invalid, invalid};

/// A volume's name on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) stockade_engine::VolumeName);

impl FromStr for Name {
    type Err = stockade_engine::volume::InvalidVolumeName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.parse()?))
    }
}

/// `--driver`, of which there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Driver;

impl FromStr for Driver {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "" | stockade_engine::volume::DRIVER => Ok(Self),
            _ => Err(invalid(
                "--driver",
                text,
                "local is the only driver; mount other file systems on the host and bind them",
            )),
        }
    }
}
