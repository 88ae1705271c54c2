//! The language, told as scripts and the calls that they make.

mod deploying;
