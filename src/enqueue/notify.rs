//! The channel on which inserts are announced.

use sha2::{Digest, Sha224};

/// One channel per schema, the queue's name being the message; hashed, as a schema's name may be longer than a channel's.
pub(super) fn channel(schema: &str) -> String {
    let digest = Sha224::digest(schema.as_bytes());
    let mut channel = String::from("pgboss_");
    for byte in digest.iter().take(12) {
        channel.push_str(&format!("{byte:02x}"));
    }
    channel
}

#[cfg(test)]
mod tests {
    use super::channel;

    #[test]
    fn the_channel_is_the_one_pg_boss_listens_on() {
        assert_eq!(channel("pgboss"), "pgboss_454650302e472074f72063fd");
    }
}
