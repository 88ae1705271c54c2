//! A choice that looks random and is the same each time.

use std::collections::BTreeSet;

/// Numbers that look random and are the same for a seed: `SplitMix64`, by Sebastiano Vigna.
pub struct Random(u64);

impl Random {
    /// The same numbers for the same seed.
    pub const fn of(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one; 0 where there is none.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(1);
        usize::try_from(self.next() % bound).unwrap_or_default()
    }

    /// At most so many of these, in their order.
    pub fn some<T>(&mut self, all: Vec<T>, most: usize) -> Vec<T> {
        if all.len() <= most {
            return all;
        }
        let mut chosen = BTreeSet::new();
        while chosen.len() < most {
            chosen.insert(self.below(all.len()));
        }
        all.into_iter().enumerate().filter(|(index, _)| chosen.contains(index)).map(|(_, one)| one).collect()
    }
}
