//! What a program writes: the start of its output, the tail of its complaints. The rest is read and thrown away, so
//! that the program is never held up by a full pipe.

use tokio::io::{AsyncRead, AsyncReadExt};

/// How much is read at once, in bytes.
const CHUNK: usize = 16 * 1024;

/// Takes what is read.
pub(super) trait Keep {
    fn keep(&mut self, chunk: &[u8]);
}

/// The first bytes, up to a cap.
pub(super) struct Head {
    cap: usize,
    bytes: Vec<u8>,
    beyond: bool,
}

impl Head {
    pub(super) fn new(cap: usize) -> Head {
        Head {
            cap,
            bytes: Vec::new(),
            beyond: false,
        }
    }

    /// All that was written, or `None` if it was more than the cap.
    pub(super) fn whole(&self) -> Option<&[u8]> {
        (!self.beyond).then_some(self.bytes.as_slice())
    }
}

impl Keep for Head {
    fn keep(&mut self, chunk: &[u8]) {
        if self.beyond || self.bytes.len() + chunk.len() > self.cap {
            self.beyond = true;
            self.bytes = Vec::new();
        } else {
            self.bytes.extend_from_slice(chunk);
        }
    }
}

/// The last bytes, up to a cap.
pub(super) struct Tail {
    cap: usize,
    bytes: Vec<u8>,
    cut: bool,
}

impl Tail {
    pub(super) fn new(cap: usize) -> Tail {
        Tail {
            cap,
            bytes: Vec::new(),
            cut: false,
        }
    }

    /// The tail as text, without the blank around it; begins with `…` if something was left out before it.
    pub(super) fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        if self.cut {
            // Half a character may be left of the cut.
            format!("…{}", text.trim_start_matches('\u{fffd}').trim_end())
        } else {
            text.trim().to_owned()
        }
    }
}

impl Keep for Tail {
    fn keep(&mut self, chunk: &[u8]) {
        self.bytes.extend_from_slice(chunk);
        if let Some(excess) = self.bytes.len().checked_sub(self.cap).filter(|excess| *excess > 0) {
            self.bytes.drain(..excess);
            self.cut = true;
        }
    }
}

/// Reads to the end; an error of a pipe is its end.
pub(super) async fn read(from: Option<impl AsyncRead + Unpin>, into: &mut impl Keep) {
    let Some(mut from) = from else {
        return;
    };
    let mut chunk = vec![0; CHUNK];
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        into.keep(&chunk[..length]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_head_is_whole_up_to_its_cap() {
        let mut head = Head::new(5);
        read(Some(&b"12345"[..]), &mut head).await;
        assert_eq!(head.whole(), Some(&b"12345"[..]));
        read(Some(&b"6"[..]), &mut head).await;
        assert_eq!(head.whole(), None);
    }

    #[tokio::test]
    async fn a_tail_keeps_the_end() {
        let mut tail = Tail::new(8);
        read(Some(&b"\n\nshort\n"[..]), &mut tail).await;
        assert_eq!(tail.text(), "short");
        read(Some(&b"and long\n"[..]), &mut tail).await;
        assert_eq!(tail.text(), "…nd long");
    }

    #[tokio::test]
    async fn a_tail_never_begins_with_half_a_character() {
        let mut tail = Tail::new(4);
        read(Some("aéébc".as_bytes()), &mut tail).await;
        assert_eq!(tail.text(), "…ébc");
        let mut tail = Tail::new(3);
        read(Some("aéébc".as_bytes()), &mut tail).await;
        assert_eq!(tail.text(), "…bc");
    }
}
