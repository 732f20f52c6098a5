//! The contents of a numbered datagram: a header, then a pattern that follows from its numbers.

/// What a datagram says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Which run of the ledger it belongs to.
    pub run: u64,
    /// The tenant that sent it.
    pub token: u64,
    pub flow: u64,
    pub sequence: u64,
    /// When its flow began or was resumed, in nanoseconds since 1970.
    pub started: u64,
    /// When it was sent.
    pub sent: u64,
}

const LENGTH: usize = 6 * 8;

impl Header {
    /// Writes the whole datagram.
    pub fn write(&self, datagram: &mut [u8]) {
        let numbers = [
            self.run,
            self.token,
            self.flow,
            self.sequence,
            self.started,
            self.sent,
        ];
        let (header, pattern) = datagram.split_at_mut(LENGTH);
        for (place, number) in header.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        for (place, byte) in pattern.iter_mut().zip(self.pattern()) {
            *place = byte;
        }
    }

    /// Reads a datagram. `None` if it has another length than it was sent with, or other contents.
    pub fn read(datagram: &[u8], length: usize) -> Option<Self> {
        if datagram.len() != length {
            return None;
        }
        let (header, pattern) = datagram.split_at_checked(LENGTH)?;
        let mut numbers = [0; LENGTH / 8];
        for (number, bytes) in numbers.iter_mut().zip(header.chunks_exact(8)) {
            *number = u64::from_be_bytes(bytes.try_into().ok()?);
        }
        let [run, token, flow, sequence, started, sent] = numbers;
        let read = Self {
            run,
            token,
            flow,
            sequence,
            started,
            sent,
        };
        pattern
            .iter()
            .copied()
            .eq(read.pattern().take(pattern.len()))
            .then_some(read)
    }

    fn pattern(&self) -> impl Iterator<Item = u8> + use<> {
        let start = self.sequence.wrapping_mul(31).wrapping_add(self.flow) as u8;
        (0..=u8::MAX)
            .cycle()
            .map(move |number| start.wrapping_add(number))
    }
}
