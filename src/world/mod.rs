//! The pure model of a fleet.
