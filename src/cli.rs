//! The command line's types; their doc comments are the help.
