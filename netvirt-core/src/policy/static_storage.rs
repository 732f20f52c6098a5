//! Storage for one copy of the policy as plain arrays, so that it can be a `static`.

use core::mem::MaybeUninit;

use managed::ManagedSlice;

use super::change::{HostAddress, Peering, ProviderRoute};
use super::groups::{Group, GroupPath};
use super::members::Member;
use super::networks::{Domain, PortEntry, Route, Subnet};
use super::provider::{Host, NeighbourEntry, Path};
use super::record::Record;
use super::slab::Place;
use super::tables::{Policy, PolicyStorage};
use crate::edit::Template;
use crate::table::{Ipv4Interval, Ipv6Interval, SLOTS_PER_BUCKET, Seed, TagBucket, buckets_for};

/// Subnets, and hosts, are stored by this many.
const GROUP: usize = 8;
/// Virtual subnets of a subnet group of [`StaticStorage`]: as many counters belong to it.
pub const SUBNETS_PER_GROUP: usize = GROUP;
/// Two buckets always have a slot for each thing of a group, however their hashes fall.
const BUCKETS_PER_GROUP: usize = 2;
/// A host can have machines in each subnet.
const MEMBER_BUCKETS: usize = buckets_for(GROUP * GROUP);
const ROUTES_PER_GROUP: usize = 2 * GROUP;
/// A route needs at most two intervals, as a destination and as a source.
const INTERVALS_PER_GROUP: usize = 4 * ROUTES_PER_GROUP;
const OWN_ADDRESSES: usize = 4;
const PROVIDER_ROUTES: usize = 4;

type Slots<T> = [T; SLOTS_PER_BUCKET];
/// Places whose vacancy is not all zero bytes. Written when the storage is first used, so that a `static` of it takes no room in
/// an image.
type Unwritten<T, const N: usize> = MaybeUninit<[T; N]>;

/// The storage of one copy of a policy.
///
/// - `RECORD_BUCKETS`: [`buckets_for`]`(N)` for N lookup records of any mix;
/// - `SUBNET_GROUPS`: for each, 8 virtual subnets, routing domains and peerings, 16 customer routes of any mix (those
///   of peered domains included), and at least 8 multicast groups, each mapped to one of its own;
/// - `HOST_GROUPS`: for each, 8 other hosts, 8 provider addresses of theirs, and at least 8 neighbours;
/// - `PORTS`: ports of this host, numbered from 0.
///
/// Every host can have machines in every subnet. There is room for 4 provider addresses and 4 provider routes of this host.
///
/// ```
/// use std::sync::Mutex;
///
/// use netvirt_core::policy::{Policies, Profile256};
/// use netvirt_core::table::Seed;
///
/// static STORAGE: Mutex<[Profile256; 2]> = Mutex::new([const { Profile256::new() }; 2]);
///
/// let mut storage = STORAGE.lock().unwrap();
/// let seed = Seed::new(0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344); // better: drawn at random
/// let [first, second] = storage.each_mut().map(|copy| copy.policy(seed));
/// let policies = Policies::new(first, second);
/// assert_eq!(policies.live().version(), 0);
/// ```
#[derive(Debug)]
pub struct StaticStorage<
    const RECORD_BUCKETS: usize,
    const SUBNET_GROUPS: usize,
    const HOST_GROUPS: usize,
    const PORTS: usize,
> {
    records: [Slots<Record>; RECORD_BUCKETS],
    templates: [[Template; GROUP]; HOST_GROUPS],
    record_tags: [TagBucket; RECORD_BUCKETS],
    rewrite_tags: [TagBucket; RECORD_BUCKETS],
    rewrite_numbers: [Slots<u32>; RECORD_BUCKETS],
    subnet_tags: [[TagBucket; BUCKETS_PER_GROUP]; SUBNET_GROUPS],
    subnet_numbers: [[Slots<u32>; BUCKETS_PER_GROUP]; SUBNET_GROUPS],
    subnets: [[Subnet; GROUP]; SUBNET_GROUPS],
    domains: [[Domain; GROUP]; SUBNET_GROUPS],
    routes: [[Route; ROUTES_PER_GROUP]; SUBNET_GROUPS],
    ipv4_intervals: [[Ipv4Interval; INTERVALS_PER_GROUP]; SUBNET_GROUPS],
    ipv6_intervals: [[Ipv6Interval; INTERVALS_PER_GROUP]; SUBNET_GROUPS],
    peerings: Unwritten<[Option<Peering>; GROUP], SUBNET_GROUPS>,
    hosts: [[Host; GROUP]; HOST_GROUPS],
    path_tags: [[TagBucket; BUCKETS_PER_GROUP]; HOST_GROUPS],
    path_numbers: [[Slots<u32>; BUCKETS_PER_GROUP]; HOST_GROUPS],
    paths: Unwritten<[Option<Path>; GROUP], HOST_GROUPS>,
    neighbour_tags: [[TagBucket; BUCKETS_PER_GROUP]; HOST_GROUPS],
    neighbours: [[Slots<NeighbourEntry>; BUCKETS_PER_GROUP]; HOST_GROUPS],
    member_tags: [[[TagBucket; MEMBER_BUCKETS]; HOST_GROUPS]; SUBNET_GROUPS],
    members: [[[Slots<Member>; MEMBER_BUCKETS]; HOST_GROUPS]; SUBNET_GROUPS],
    group_tags: [[TagBucket; BUCKETS_PER_GROUP]; SUBNET_GROUPS],
    groups: [[Slots<Group>; BUCKETS_PER_GROUP]; SUBNET_GROUPS],
    group_path_tags: [[TagBucket; BUCKETS_PER_GROUP]; SUBNET_GROUPS],
    group_paths: [[Slots<GroupPath>; BUCKETS_PER_GROUP]; SUBNET_GROUPS],
    ports: [PortEntry; PORTS],
    provider_addresses: Unwritten<Option<HostAddress>, OWN_ADDRESSES>,
    provider_routes: Unwritten<Option<ProviderRoute>, PROVIDER_ROUTES>,
}

/// Room for 256 lookup records of any mix, 8 subnets, 16 hosts, 32 ports and 16 multicast groups, in 35 KiB a copy.
pub type Profile256 = StaticStorage<{ buckets_for(256) }, 1, 2, 32>;

const _: () = assert!(size_of::<Profile256>() <= 35 * 1024);

impl<
    const RECORD_BUCKETS: usize,
    const SUBNET_GROUPS: usize,
    const HOST_GROUPS: usize,
    const PORTS: usize,
> StaticStorage<RECORD_BUCKETS, SUBNET_GROUPS, HOST_GROUPS, PORTS>
{
    /// Storage of an empty policy.
    #[expect(
        clippy::new_without_default,
        reason = "it is too large to be made at run time"
    )]
    pub const fn new() -> Self {
        Self {
            records: [[Record::VACANT; _]; _],
            templates: [[Template::VACANT; _]; _],
            record_tags: [TagBucket::EMPTY; _],
            rewrite_tags: [TagBucket::EMPTY; _],
            rewrite_numbers: [[0; _]; _],
            subnet_tags: [[TagBucket::EMPTY; _]; _],
            subnet_numbers: [[[0; _]; _]; _],
            subnets: [[Subnet::VACANT; _]; _],
            domains: [[Domain::VACANT; _]; _],
            routes: [[Route::VACANT; _]; _],
            ipv4_intervals: [[Ipv4Interval::EMPTY; _]; _],
            ipv6_intervals: [[Ipv6Interval::EMPTY; _]; _],
            peerings: MaybeUninit::uninit(),
            hosts: [[Host::VACANT; _]; _],
            path_tags: [[TagBucket::EMPTY; _]; _],
            path_numbers: [[[0; _]; _]; _],
            paths: MaybeUninit::uninit(),
            neighbour_tags: [[TagBucket::EMPTY; _]; _],
            neighbours: [[[NeighbourEntry::VACANT; _]; _]; _],
            member_tags: [[[TagBucket::EMPTY; _]; _]; _],
            members: [[[[Member::VACANT; _]; _]; _]; _],
            group_tags: [[TagBucket::EMPTY; _]; _],
            groups: [[[Group::VACANT; _]; _]; _],
            group_path_tags: [[TagBucket::EMPTY; _]; _],
            group_paths: [[[GroupPath::VACANT; _]; _]; _],
            ports: [PortEntry::VACANT; _],
            provider_addresses: MaybeUninit::uninit(),
            provider_routes: MaybeUninit::uninit(),
        }
    }

    /// An empty policy in this storage. Without trust in tenants the seed is to be drawn at random; both
    /// copies of a policy must have the same.
    pub fn policy(&mut self, seed: Seed) -> Policy<'_> {
        Policy::new(
            PolicyStorage {
                record_tags: emptied(&mut self.record_tags, TagBucket::EMPTY),
                records: ManagedSlice::Borrowed(self.records.as_flattened_mut()),
                rewrite_tags: emptied(&mut self.rewrite_tags, TagBucket::EMPTY),
                rewrite_numbers: ManagedSlice::Borrowed(self.rewrite_numbers.as_flattened_mut()),
                subnet_tags: emptied(self.subnet_tags.as_flattened_mut(), TagBucket::EMPTY),
                subnet_numbers: ManagedSlice::Borrowed(
                    self.subnet_numbers.as_flattened_mut().as_flattened_mut(),
                ),
                subnets: vacated(self.subnets.as_flattened_mut()),
                domains: vacated(self.domains.as_flattened_mut()),
                routes: vacated(self.routes.as_flattened_mut()),
                ipv4_intervals: ManagedSlice::Borrowed(self.ipv4_intervals.as_flattened_mut()),
                ipv6_intervals: ManagedSlice::Borrowed(self.ipv6_intervals.as_flattened_mut()),
                peerings: ManagedSlice::Borrowed(
                    self.peerings.write([[None; _]; _]).as_flattened_mut(),
                ),
                hosts: vacated(self.hosts.as_flattened_mut()),
                path_tags: emptied(self.path_tags.as_flattened_mut(), TagBucket::EMPTY),
                path_numbers: ManagedSlice::Borrowed(
                    self.path_numbers.as_flattened_mut().as_flattened_mut(),
                ),
                paths: ManagedSlice::Borrowed(self.paths.write([[None; _]; _]).as_flattened_mut()),
                templates: emptied(self.templates.as_flattened_mut(), Template::VACANT),
                ports: vacated(&mut self.ports),
                provider_addresses: ManagedSlice::Borrowed(
                    self.provider_addresses.write([None; _]),
                ),
                provider_routes: ManagedSlice::Borrowed(self.provider_routes.write([None; _])),
                neighbour_tags: emptied(self.neighbour_tags.as_flattened_mut(), TagBucket::EMPTY),
                neighbours: ManagedSlice::Borrowed(
                    self.neighbours.as_flattened_mut().as_flattened_mut(),
                ),
                member_tags: emptied(
                    self.member_tags.as_flattened_mut().as_flattened_mut(),
                    TagBucket::EMPTY,
                ),
                members: ManagedSlice::Borrowed(
                    self.members
                        .as_flattened_mut()
                        .as_flattened_mut()
                        .as_flattened_mut(),
                ),
                group_tags: emptied(self.group_tags.as_flattened_mut(), TagBucket::EMPTY),
                groups: ManagedSlice::Borrowed(self.groups.as_flattened_mut().as_flattened_mut()),
                group_path_tags: emptied(self.group_path_tags.as_flattened_mut(), TagBucket::EMPTY),
                group_paths: ManagedSlice::Borrowed(
                    self.group_paths.as_flattened_mut().as_flattened_mut(),
                ),
            },
            seed,
        )
    }
}

/// A policy that lived in the storage before leaves nothing behind.
fn vacated<T: Place>(places: &mut [T]) -> ManagedSlice<'_, T> {
    emptied(places, T::VACANT)
}

fn emptied<T: Copy>(places: &mut [T], empty: T) -> ManagedSlice<'_, T> {
    places.fill(empty);
    ManagedSlice::Borrowed(places)
}
