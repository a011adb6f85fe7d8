//! Numbers on the wire that stand for one of a few meanings.

/// Declares an enum whose variants have fixed numbers on the wire. A number without a meaning yet is kept as `Unknown`,
/// so that a later version may add meanings without breaking the receivers of this one.
macro_rules! codes {
    (
        $(#[$doc:meta])*
        pub enum $name:ident: $number:ty {
            $($(#[$variant_doc:meta])* $variant:ident = $code:literal => $text:literal,)+
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
            /// A number that has no meaning in this version. Only `from_code` makes one.
            Unknown($number),
        }

        impl $name {
            /// Every meaning that this version knows.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The meaning of a number from the wire.
            #[must_use]
            pub const fn from_code(code: $number) -> Self {
                match code {
                    $($code => Self::$variant,)+
                    unknown => Self::Unknown(unknown),
                }
            }

            /// The number on the wire.
            #[must_use]
            pub const fn code(self) -> $number {
                match self {
                    $(Self::$variant => $code,)+
                    Self::Unknown(code) => code,
                }
            }

            /// A short stable name, for logs and metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Unknown(_) => "unknown",
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    Self::Unknown(code) => write!(f, "unknown ({code})"),
                    known => f.pad(known.name()),
                }
            }
        }
    };
}

pub(crate) use codes;
