//! Ids of 32 bytes: for people in hex, in JSON as the production node writes each of them.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident $(, $json:meta)?) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name($(#[$json])? pub [u8; 32]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({}…)"), hex::encode(&self.0[..4]))
            }
        }

        impl $name {
            /// The first eight hex digits, for messages.
            #[must_use]
            pub fn short(&self) -> String {
                hex::encode(&self.0[..4])
            }
        }
    };
}

id!(
    /// Id of a block: the hash of its header.
    HeaderId,
    serde(with = "hex")
);
id!(
    /// Id of a transaction.
    TransactionId,
    serde(with = "hex")
);
id!(
    /// Id of a channel.
    ChannelId,
    serde(with = "hex")
);
id!(
    /// Id of a channel's message; zeros are the parent of its first one.
    MessageId,
    serde(with = "hex")
);
id!(
    /// Id of a blob; in JSON 32 integers.
    BlobId
);

impl MessageId {
    /// The parent of a channel's first message.
    pub const NONE: Self = Self([0; 32]);
}
