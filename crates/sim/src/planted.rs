//! Bugs that a simulation has on purpose, to show that it finds them.

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Planted {
    /// Nothing.
    #[default]
    Nothing,
    /// The control plane lets an agent take over without a new epoch.
    EpochsStay,
    /// The control plane compares no epochs: whoever asks for an old one gets the endpoint back.
    EpochsAreNotCompared,
    /// Some bodies end in order, and are not whole.
    ShortBodies,
}

impl Planted {
    /// Every bug, with its name.
    pub const ALL: [(&str, Self); 3] = [
        ("epochs-stay", Self::EpochsStay),
        ("epochs-are-not-compared", Self::EpochsAreNotCompared),
        ("short-bodies", Self::ShortBodies),
    ];

    /// The bug of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(of, _)| *of == name).map(|(_, planted)| *planted)
    }
}
