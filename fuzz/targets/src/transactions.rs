//! Transactions in their encoding, against a model of sets.

use netvirt_core::policy::{Change, Transaction};
use proptest::prelude::*;

use crate::drawn::all_drawn;
use crate::steps::{TIGHT, Way, run};
use crate::strategies::any_transaction;
use crate::support::{Capacities, HOST_1, tx};

/// Enough for whatever one run thinks of.
const AMPLE: Capacities = Capacities {
    records: 64,
    rewrites: 64,
    domains: 8,
    subnets: 16,
    routes: 32,
    intervals: 128,
    peerings: 8,
    hosts: 8,
    paths: 16,
    ports: 64,
    provider_addresses: 8,
    provider_routes: 8,
    neighbours: 16,
    members: 64,
    groups: 64,
};

/// A transaction is applied whole or leaves no trace, and policy is what a model says that knows nothing of tables.
///
/// The bits of the first byte: little storage (1), everything taken down at once (2), and whether encoded transactions
/// follow, each behind two bytes, of which 14 bits are its length and the others its way (4), or choices that draw them.
pub fn transactions(data: &[u8]) {
    let Some((&mode, bytes)) = data.split_first() else {
        return;
    };
    let capacities = if mode & 1 != 0 { TIGHT } else { AMPLE };
    let in_one = mode & 2 != 0;
    if mode & 4 != 0 {
        run(capacities, encoded(bytes), in_one);
    } else {
        run(capacities, some_transactions(bytes).into_iter(), in_one);
    }
}

thread_local! {
    static TRANSACTIONS: BoxedStrategy<(Vec<u8>, Way)> = {
        let encoded = any_transaction().prop_map(|changes| tx(&changes));
        (encoded, prop::sample::select(&Way::ALL)).boxed()
    };
}

/// Transactions drawn by these bytes, each with its way.
pub fn some_transactions(bytes: &[u8]) -> Vec<(Vec<u8>, Way)> {
    TRANSACTIONS.with(|transactions| all_drawn(transactions, bytes, 60))
}

/// The transactions in these bytes, as far as the model goes: it knows one number for this host.
fn encoded(mut bytes: &[u8]) -> impl Iterator<Item = (Vec<u8>, Way)> {
    let next = move || {
        let (&[low, high], rest) = bytes.split_first_chunk()?;
        let length = usize::from(low) | usize::from(high & 0x3f) << 8;
        let (encoded, rest) = rest.split_at(length.min(rest.len()));
        bytes = rest;
        Some((encoded.to_vec(), Way::ALL[usize::from(high >> 6)]))
    };
    std::iter::from_fn(next).take_while(|(encoded, _)| {
        Transaction::new(encoded).changes().all(|change| {
            !matches!(change, Ok(Change::SetSettings(settings)) if settings.local_host != HOST_1)
        })
    })
}
