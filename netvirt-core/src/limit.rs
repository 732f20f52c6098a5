//! How often something may happen: token buckets, fed with the caller's time.

use core::time::Duration;

use serde::{Deserialize, Serialize};

const NANOSECONDS: u64 = 1_000_000_000;

/// How often something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RateLimit {
    /// Tokens that come back in a second; 0 says never.
    pub per_second: u32,
    /// Tokens of a full bucket: what may happen at once; 0 says never.
    pub burst: u32,
}

/// A bucket of tokens, one for each thing that may happen. Its size and rate are told with each use, so that they can
/// change at any time; it begins full, and so does one of zero bytes.
///
/// ```
/// use core::time::Duration;
/// use netvirt_core::limit::{RateLimit, TokenBucket};
///
/// let limit = RateLimit { per_second: 10, burst: 2 };
/// let mut bucket = TokenBucket::FULL;
/// let now = Duration::from_secs(5);
/// assert!(bucket.take(limit, now) && bucket.take(limit, now));
/// assert!(!bucket.take(limit, now));
/// assert!(bucket.take(limit, now + Duration::from_millis(100)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenBucket {
    /// When it is full again, in nanoseconds.
    full_at: u64,
}

impl TokenBucket {
    /// A full bucket.
    pub const FULL: Self = Self { full_at: 0 };

    /// Takes a token, if there is one. `now` is the time since any moment that stays the same, and never goes back.
    pub fn take(&mut self, limit: RateLimit, now: Duration) -> bool {
        let Some(interval) = NANOSECONDS.checked_div(u64::from(limit.per_second)) else {
            return false;
        };
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let missing = self.full_at.saturating_sub(now).saturating_add(interval);
        let has_token = missing <= interval.saturating_mul(u64::from(limit.burst));
        if has_token {
            self.full_at = now.saturating_add(missing);
        }
        has_token
    }
}

/// The buckets of one port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PortLimits {
    /// ICMP errors that it is answered with.
    pub(crate) errors: TokenBucket,
    /// Broadcast and multicast that it sends.
    pub(crate) storm: TokenBucket,
}

impl PortLimits {
    /// Nothing used yet.
    pub const FULL: Self = Self {
        errors: TokenBucket::FULL,
        storm: TokenBucket::FULL,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: RateLimit = RateLimit {
        per_second: 100,
        burst: 5,
    };

    fn taken(bucket: &mut TokenBucket, limit: RateLimit, now: Duration) -> u32 {
        (0..1000).map(|_| u32::from(bucket.take(limit, now))).sum()
    }

    #[test]
    fn a_full_bucket_holds_the_burst_whatever_the_time() {
        for now in [
            Duration::ZERO,
            Duration::from_secs(7),
            Duration::from_hours(1_000_000),
        ] {
            assert_eq!(taken(&mut TokenBucket::FULL.clone(), LIMIT, now), 5);
        }
    }

    #[test]
    fn tokens_come_back_one_by_one_and_no_more_than_the_burst() {
        let mut bucket = TokenBucket::FULL;
        let mut now = Duration::from_secs(1);
        assert_eq!(taken(&mut bucket, LIMIT, now), 5);
        now += Duration::from_nanos(9_999_999);
        assert_eq!(taken(&mut bucket, LIMIT, now), 0);
        now += Duration::from_nanos(1);
        assert_eq!(taken(&mut bucket, LIMIT, now), 1);
        now += Duration::from_millis(35);
        assert_eq!(taken(&mut bucket, LIMIT, now), 3);
        now += Duration::from_secs(3600);
        assert_eq!(taken(&mut bucket, LIMIT, now), 5);
    }

    #[test]
    fn a_second_brings_what_the_rate_says() {
        let limit = RateLimit {
            per_second: 777,
            burst: 1,
        };
        let mut bucket = TokenBucket::FULL;
        let taken = (0..1_000_000)
            .filter(|microsecond| bucket.take(limit, Duration::from_micros(*microsecond)))
            .count();
        assert_eq!(taken, 777);
    }

    #[test]
    fn nothing_comes_of_no_rate_and_of_no_burst() {
        for (per_second, burst) in [(0, 5), (5, 0)] {
            let limit = RateLimit { per_second, burst };
            assert!(!TokenBucket::FULL.clone().take(limit, Duration::MAX));
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        let limit = RateLimit {
            per_second: 1,
            burst: u32::MAX,
        };
        let mut bucket = TokenBucket::FULL;
        assert!(bucket.take(limit, Duration::MAX));
        assert!(bucket.take(limit, Duration::ZERO) || bucket.full_at == u64::MAX);
    }
}
