//! What the gate proves: one function for every entry point of the datapath and for policy changes, which
//! firmware takes between packets. Each passes on arguments that the compiler cannot know. A new entry point
//! of netvirt-core gets its function here.

use core::net::IpAddr;
use core::ops::Range;
use core::time::Duration;

use netvirt_core::checksum::{self, Delta};
use netvirt_core::counters::Counters;
use netvirt_core::datapath::{DropReason, Frame, Outcome, Replica, Replication, Verdict, Worker};
use netvirt_core::edit::{DETACHED_ROOM, Detached, Edit, NoRoom};
use netvirt_core::offload::{
    ByteTable, ChecksumOutOfBounds, FilterRefused, HashTypes, IndirectionTable, InvalidSuperFrame,
    MERGED_ROOM, MergeFrame, Merged, Merger, NibbleTable, Offer, Offload, PartialChecksum,
    QueueFilter, QueueFilters, RssHash, SegmentError, SegmentLimits, SuperFrame, Toeplitz,
    ToeplitzKey, rss_hash,
};
use netvirt_core::policy::{
    Change, CustomerRoute, HostAddress, LookupRecord, NextHop, Policies, Policy, Refused,
    Transaction, TransactionWriter,
};
use netvirt_core::proxy::Owned;
use netvirt_core::table::{Full, Index, Ipv4Pool, Ipv6Pool, Key, Portable, Run};
use netvirt_core::wire::{self, Facts, Malformed};
use netvirt_core::{AddressBits, InvalidAddress, MacAddress, PortId, Prefix, Vsid};

/// Exports each function under its own name, so that linker and optimizer must keep it. No C program calls
/// them: arguments and results may be any Rust type.
macro_rules! entry_points {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block)*) => {
        $(
            #[unsafe(no_mangle)]
            #[allow(improper_ctypes_definitions, reason = "no C program calls it")]
            extern "C" fn $name($($argument: $type),*) $(-> $result)? $body
        )*
    };
}

entry_points! {
    fn vsid_new(value: u32) -> Result<Vsid, InvalidAddress> { Vsid::new(value) }
    fn mac_address_unicast(mac: MacAddress) -> Result<MacAddress, InvalidAddress> { mac.unicast() }
    fn prefix_contains(prefix: Prefix, address: IpAddr) -> bool { prefix.contains(address) }
}

entry_points! {
    fn wire_parse(window: &[u8], total_length: usize, offset: usize) -> Result<Facts, Malformed> {
        wire::parse(window, total_length, offset)
    }
    fn wire_ipv4_header_is_valid(window: &[u8], facts: &Facts) -> bool {
        wire::ipv4_header_is_valid(window, facts)
    }
    fn facts_transport(facts: &Facts, window: &[u8]) -> usize { facts.transport(window).len() }
}

entry_points! {
    fn checksum_sum(bytes: &[u8]) -> u16 { checksum::sum(bytes) }
    fn checksum_ipv4_header_sum(header: &[u8; 20]) -> u16 { checksum::ipv4_header_sum(header) }
    fn checksum_transport_sum(source: AddressBits, destination: AddressBits, protocol: u8, segment: &[u8]) -> u16 {
        checksum::transport_sum(source, destination, protocol, segment)
    }
    fn checksum_sum_and_fetch(bytes: &[u8], next: &[u8]) -> u16 {
        checksum::sum_and_fetch::<Portable>(bytes, next)
    }
    fn checksum_copy_and_sum(from: &[u8], to: &mut [u8], next: &[u8]) -> u16 {
        checksum::copy_and_sum::<Portable>(from, to, next)
    }
    fn delta_between(old: AddressBits, new: AddressBits) -> Delta { Delta::between(old, new) }
    fn delta_apply_udp(delta: Delta, checksum: u16) -> u16 { delta.apply_udp(checksum) }
    fn partial_checksum_complete(
        partial: PartialChecksum,
        front: &mut [u8],
        rest: &[u8]
    ) -> Result<(), ChecksumOutOfBounds> {
        partial.complete(front, rest)
    }
}

entry_points! {
    fn index_find(index: &Index<'_>, key: &Key, number: u32) -> Option<u32> {
        index.find(key, |found| found == number)
    }
    fn index_insert(index: &mut Index<'_>, key: &Key, number: u32) -> Result<(), Full> { index.insert(key, number) }
    fn index_remove(index: &mut Index<'_>, key: &Key, number: u32) -> bool { index.remove(key, number) }
    fn ipv4_pool_lookup(pool: &Ipv4Pool<'_>, run: Run, address: AddressBits) -> Option<u32> {
        pool.lookup(run, address)
    }
    fn ipv6_pool_lookup(pool: &Ipv6Pool<'_>, run: Run, address: AddressBits) -> Option<u32> {
        pool.lookup(run, address)
    }
}

entry_points! {
    fn policies_apply(policies: &mut Policies<'_>, transaction: Transaction<'_>) -> Result<(), Refused> {
        policies.apply(transaction)
    }

    fn policies_apply_by_pieces(
        policies: &mut Policies<'_>,
        change: &Change,
        learned: &Change,
    ) -> Result<u64, Refused> {
        policies.begin_draft()?;
        policies.draft(change)?;
        let _ = policies.learn(learned);
        policies.prepare_draft()?;
        policies.commit_draft()
    }

    fn policies_abort_draft(policies: &mut Policies<'_>) {
        policies.abort_draft();
    }

    fn policy_encode(policy: &Policy<'_>, from: usize, buffer: &mut [u8]) -> usize {
        let mut writer = TransactionWriter::new(buffer);
        let full = policy.changes().skip(from).find(|change| writer.push(change).is_err());
        usize::from(full.is_some()).wrapping_add(writer.finish().len())
    }
}

entry_points! {
    fn worker_process(
        worker: &mut Worker<'_>,
        policy: &Policy<'_>,
        frame: &Frame<'_>,
        now: Duration,
        room: &mut [u8]
    ) -> Option<usize> {
        let verdict = worker.process(policy, frame, now);
        let edited = match &verdict.outcome {
            Outcome::Reply(reply) => reply.emit(frame.window, room).ok(),
            Outcome::Hold { path, .. } => policy.next_hop(*path)?.solicitation(room).ok(),
            _ => verdict.edit()?.apply_into(frame.window, room).ok(),
        };
        if edited.is_none() {
            worker.counters_mut().lost(frame, &verdict, DropReason::NoHeadroom);
        }
        edited
    }
    fn replication_copies(
        replication: &Replication,
        policy: &Policy<'_>,
        frame: &Frame<'_>,
        counters: &mut Counters<'_>,
        room: &mut [u8]
    ) -> usize {
        let mut written = 0usize;
        for replica in replication.copies(policy) {
            let edited = match &replica {
                Replica::Deliver { edit, .. } | Replica::Transmit { edit, .. } | Replica::Hold { edit, .. } => {
                    edit.apply_into(frame.window, room).ok()
                }
                _ => continue,
            };
            match edited {
                Some(bytes) => written = written.saturating_add(bytes),
                None => counters.lost_copy(frame, replica.port()),
            }
        }
        written
    }
    fn worker_process_batch(
        worker: &mut Worker<'_>,
        policy: &Policy<'_>,
        frames: &[Frame<'_>],
        now: Duration,
        counted: &mut Counters<'_>
    ) -> usize {
        let mut verdicts = [Verdict::UNDECIDED; 32];
        let decided = worker.process_batch::<Portable>(policy, frames, &mut verdicts, now);
        counted.merge(worker.counters());
        decided
    }
    fn policy_router_advertisement(policy: &Policy<'_>, port: PortId, out: &mut [u8]) -> Option<usize> {
        let message = policy.router_advertisement(port)?;
        message.emit(wire::multicast_mac(message.destination), out)
    }
    fn owned_announcement(owned: &Owned, out: &mut [u8]) -> Option<usize> { owned.announcement(out).ok() }
    fn owned_listener_report(owned: &Owned, out: &mut [u8]) -> Option<usize> { owned.listener_report(out).ok()? }
    fn host_address_listener_report(own: &HostAddress, out: &mut [u8]) -> Option<usize> {
        own.listener_report(out).ok()?
    }
    fn next_hop_poll(next_hop: &NextHop, mac: MacAddress, out: &mut [u8]) -> Option<usize> {
        next_hop.poll(mac, out).ok()
    }
    fn policy_next_hops(policy: &Policy<'_>) -> usize { policy.next_hops().count() }
    fn host_address_probe(own: &HostAddress, out: &mut [u8]) -> Option<usize> { own.probe(out).ok() }
    fn policy_is_usable(policy: &Policy<'_>, record: &LookupRecord, route: &CustomerRoute) -> bool {
        policy.is_usable(record) && policy.is_usable_route(route)
    }
    fn policy_owned_addresses(policy: &Policy<'_>) -> usize { policy.owned_addresses().count() }
}

entry_points! {
    fn super_frame_new(front: &[u8], length: usize, offload: &Offload, limits: SegmentLimits) -> Result<usize, InvalidSuperFrame> {
        SuperFrame::new(front, length, offload, limits).map(|super_frame| super_frame.segments().len())
    }
    fn segments_emit_header(super_frame: &SuperFrame<'_>, out: &mut [u8]) -> Option<Offload> {
        let segment = super_frame.segments().last()?;
        segment.emit_header(out).ok()?;
        Some(segment.offload())
    }
    fn segments_emit_finished_header(super_frame: &SuperFrame<'_>, payload: &[u8], out: &mut [u8]) -> Result<(), SegmentError> {
        super_frame.segments().try_for_each(|segment| segment.emit_finished_header::<Portable>(payload, out).map(|_| ()))
    }
    fn segments_emit(super_frame: &SuperFrame<'_>, payload: &[u8], out: &mut [u8]) -> Result<(), SegmentError> {
        super_frame.segments().try_for_each(|segment| segment.emit::<Portable>(payload, out).map(|_| ()))
    }
}

entry_points! {
    fn toeplitz_key_hash(key: &ToeplitzKey, input: &[u8]) -> u32 { key.hash(input) }
    fn nibble_table_new(key: &ToeplitzKey, table: &mut NibbleTable) { *table = NibbleTable::new(key) }
    fn byte_table_set_key(key: &ToeplitzKey, table: &mut ByteTable) { table.set_key(key) }
    fn rss_hash_by_nibbles(table: &NibbleTable, types: HashTypes, window: &[u8], length: usize) -> Option<RssHash> {
        rss_hash(table, types, window, length)
    }
    fn rss_hash_by_bytes(table: &ByteTable, types: HashTypes, window: &[u8], length: usize) -> Option<RssHash> {
        rss_hash(table, types, window, length)
    }
    fn indirection_table_queue(table: &IndirectionTable<'_>, hash: u32) -> u16 { table.queue(hash) }
    fn queue_filters_insert(filters: &mut QueueFilters<'_>, filter: QueueFilter) -> Result<(), FilterRefused> {
        filters.insert(filter)
    }
    fn queue_filters_remove(filters: &mut QueueFilters<'_>, vsid: Option<Vsid>, mac: MacAddress) -> bool {
        filters.remove(vsid, mac)
    }
    fn queue_filters_queue(filters: &QueueFilters<'_>, window: &[u8], length: usize) -> Option<u16> {
        filters.queue(window, length)
    }
}

entry_points! {
    fn merger_offer(merger: &mut Merger<'_>, frame: &MergeFrame<'_>) -> Offer { merger.offer(frame) }
    fn merger_take(merger: &mut Merger<'_>, slot: usize, out: &mut [u8; MERGED_ROOM]) -> Option<Merged> {
        merger.take(slot, out)
    }
    fn merger_oldest(merger: &Merger<'_>) -> Option<usize> { merger.oldest() }
}

entry_points! {
    fn edit_apply_in_place(edit: &Edit<'_>, buffer: &mut [u8], frame: Range<usize>) -> Result<Range<usize>, NoRoom> {
        edit.apply_in_place(buffer, frame)
    }
    fn edit_apply_into(edit: &Edit<'_>, frame: &[u8], out: &mut [u8]) -> Result<usize, NoRoom> {
        edit.apply_into(frame, out)
    }
    fn edit_detach(edit: &Edit<'_>, window: &[u8], room: &mut [u8; DETACHED_ROOM]) -> Result<Detached, NoRoom> {
        edit.detach(window, room)
    }
    fn edit_fragments(
        edit: &Edit<'_>,
        front: &[u8; DETACHED_ROOM],
        detached: &Detached,
        room: &mut [u8; DETACHED_ROOM]
    ) -> usize {
        let mut pieces = 0;
        let Some(mut fragments) = edit.fragments(front, detached) else { return pieces };
        while fragments.next_into(room).is_some() {
            pieces = pieces.wrapping_add(1);
        }
        pieces
    }
}
