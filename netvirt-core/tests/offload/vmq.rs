//! The rules of virtual machine queues.

use netvirt_core::offload::*;
use netvirt_core::table::{ExactTable, SLOTS_PER_BUCKET, Seed, TagBucket, buckets_for};
use netvirt_core::{MacAddress, Vsid};

use crate::super_frames::*;

const MAC: MacAddress = MacAddress([6, 6, 0, 0, 0, 7]);
const OTHER: MacAddress = MacAddress([8, 8, 0, 0, 0, 7]);

fn filters(by: QueueMatch, machines: usize) -> QueueFilters<'static> {
    let buckets = buckets_for(machines);
    let table = ExactTable::new(
        vec![TagBucket::EMPTY; buckets].into(),
        vec![QueueSlot::EMPTY; buckets * SLOTS_PER_BUCKET].into(),
        Seed::new(3, 4),
    );
    QueueFilters::new(table, by)
}

fn both() -> [QueueFilters<'static>; 2] {
    [QueueMatch::VsidAndMac, QueueMatch::MacOnly].map(|by| filters(by, 16))
}

fn filter(vsid: u32, mac: MacAddress, queue: u16) -> QueueFilter {
    let vsid = Vsid::new(vsid).ok();
    QueueFilter { vsid, mac, queue }
}

fn to(mac: MacAddress) -> Super {
    udp(0, 100).with(|it| it.packet.destination_mac = mac)
}

fn inside(vsid: u32, mac: MacAddress) -> Vec<u8> {
    to(mac)
        .inside(0)
        .with(|it| it.tunnel.as_mut().unwrap().vsid = vsid)
        .frame()
}

fn queue(filters: &QueueFilters<'_>, frame: &[u8]) -> Option<u16> {
    filters.queue(frame, frame.len())
}

#[test]
fn spec_4_5_queue_by_vsid_and_inner_mac() {
    for mut filters in both() {
        filters.insert(filter(5001, MAC, 3)).unwrap();
        assert_eq!(queue(&filters, &inside(5001, MAC)), Some(3));
        assert_eq!(queue(&filters, &inside(5001, OTHER)), None);
        // The check of the VSID behind a match of the MAC address alone.
        assert_eq!(queue(&filters, &inside(6001, MAC)), None);
        assert_eq!(queue(&filters, &to(MAC).frame()), None);
        // The MAC address of the outer header is not what counts.
        let outer = to(OTHER)
            .inside(0)
            .with(|it| it.tunnel.as_mut().unwrap().destination_mac = MAC);
        assert_eq!(queue(&filters, &outer.frame()), None);
        filters.insert(filter(5001, MAC, 4)).unwrap();
        assert_eq!(queue(&filters, &inside(5001, MAC)), Some(4));
        assert!(!filters.remove(Vsid::new(6001).ok(), MAC));
        assert!(filters.remove(Vsid::new(5001).ok(), MAC));
        assert_eq!(queue(&filters, &inside(5001, MAC)), None);
    }
}

#[test]
fn spec_4_5_equal_macs_of_two_tenants() {
    let [mut by_both, mut by_mac] = both();
    for filters in [&mut by_both, &mut by_mac] {
        filters.insert(filter(5001, MAC, 3)).unwrap();
    }
    assert_eq!(by_both.insert(filter(6001, MAC, 4)), Ok(()));
    assert_eq!(
        by_mac.insert(filter(6001, MAC, 4)),
        Err(FilterRefused::MacTaken)
    );
    assert_eq!(queue(&by_both, &inside(6001, MAC)), Some(4));
    assert_eq!(queue(&by_mac, &inside(6001, MAC)), None);
    for filters in [&by_both, &by_mac] {
        assert_eq!(queue(filters, &inside(5001, MAC)), Some(3));
    }
}

#[test]
fn spec_4_5_without_an_inner_frame_the_outermost_header_counts() {
    for mut filters in both() {
        filters
            .insert(QueueFilter {
                vsid: None,
                mac: MAC,
                queue: 7,
            })
            .unwrap();
        assert_eq!(queue(&filters, &to(MAC).frame()), Some(7));
        let outer = to(OTHER).inside(0).with(|it| {
            let tunnel = it.tunnel.as_mut().unwrap();
            tunnel.destination_mac = MAC;
            tunnel.gre_protocol = 0x0800;
        });
        assert_eq!(queue(&filters, &outer.frame()), Some(7));
        let cut_short = tunnel(0).with(|it| it.destination_mac = MAC).wrap(&[1; 13]);
        assert_eq!(queue(&filters, &cut_short), Some(7));
    }
}

#[test]
fn spec_4_5_a_vlan_other_than_0_does_not_match() {
    for mut filters in both() {
        filters
            .insert(QueueFilter {
                vsid: None,
                mac: MAC,
                queue: 7,
            })
            .unwrap();
        for (tags, expected) in [
            (vec![], Some(7)),
            (vec![(0x8100, 0xe000)], Some(7)),
            (vec![(0x8100, 5)], None),
            (vec![(0x8100, 0), (0x8100, 0)], None),
        ] {
            let frame = to(MAC).with(|it| it.packet.tags = tags).frame();
            assert_eq!(queue(&filters, &frame), expected);
        }
        // A VLAN of the provider network says nothing about the inner frame.
        filters.insert(filter(5001, OTHER, 2)).unwrap();
        let tagged = to(OTHER)
            .inside(0)
            .with(|it| it.tunnel.as_mut().unwrap().tags = vec![(0x8100, 5)]);
        assert_eq!(queue(&filters, &tagged.frame()), Some(2));
        let tagged = to(OTHER)
            .with(|it| it.packet.tags = vec![(0x8100, 5)])
            .inside(0);
        assert_eq!(queue(&filters, &tagged.frame()), None);
    }
}

#[test]
fn filters_fill_their_storage_and_no_more() {
    for by in [QueueMatch::VsidAndMac, QueueMatch::MacOnly] {
        let mut filters = filters(by, 16);
        let mac = |number| MacAddress([2, 0, 0, 0, 1, number]);
        for number in 0..16 {
            filters
                .insert(filter(5001, mac(number), u16::from(number)))
                .unwrap();
        }
        assert_eq!(
            filters.insert(filter(5001, mac(16), 16)),
            Err(FilterRefused::Full)
        );
        for number in 0..16 {
            assert_eq!(
                queue(&filters, &inside(5001, mac(number))),
                Some(u16::from(number))
            );
        }
        assert_eq!(queue(&filters, &inside(5001, mac(16))), None);
    }
}

#[test]
fn what_cannot_be_parsed_goes_to_the_default_queue() {
    let mut filters = filters(QueueMatch::MacOnly, 16);
    filters
        .insert(QueueFilter {
            vsid: None,
            mac: MAC,
            queue: 7,
        })
        .unwrap();
    let frame = to(MAC).frame();
    for length in 0..14 {
        assert_eq!(queue(&filters, &frame[..length]), None);
    }
}
