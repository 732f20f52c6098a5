use std::io::Cursor;

use super::*;

/// Puts the fields of a file together in either byte order.
#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

impl Order {
    const BOTH: [Self; 2] = [Self::Little, Self::Big];

    fn u16(self, value: u16) -> [u8; 2] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    fn u32(self, value: u32) -> [u8; 4] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    fn i64(self, value: i64) -> [u8; 8] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    fn words(self, words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| self.u32(*word)).collect()
    }

    fn pcap(self, magic: u32, link_type: u32) -> Vec<u8> {
        let version = [self.u16(2), self.u16(4)].concat();
        let rest = self.words(&[0, 0, 96, link_type]);
        [&self.u32(magic)[..], &version, &rest].concat()
    }

    fn pcap_frame(self, time: [u32; 2], original_length: u32, bytes: &[u8]) -> Vec<u8> {
        let [seconds, fraction] = time;
        let header = self.words(&[seconds, fraction, bytes.len() as u32, original_length]);
        [&header[..], bytes].concat()
    }

    fn block(self, kind: u32, body: &[&[u8]]) -> Vec<u8> {
        let mut body = body.concat();
        body.resize(body.len().next_multiple_of(4), 0);
        let length = self.u32(body.len() as u32 + 12);
        [&self.u32(kind)[..], &length, &body, &length].concat()
    }

    fn section(self) -> Vec<u8> {
        let version = [self.u16(1), self.u16(0)].concat();
        self.block(
            0x0a0d_0d0a,
            &[&self.u32(0x1a2b_3c4d), &version, &self.i64(-1)],
        )
    }

    fn interface(self, link_type: u16, snap_length: u32, options: &[u8]) -> Vec<u8> {
        let link_type = [self.u16(link_type), self.u16(0)].concat();
        self.block(1, &[&link_type, &self.u32(snap_length), options])
    }

    fn option(self, code: u16, value: &[u8]) -> Vec<u8> {
        let mut value = value.to_vec();
        let length = self.u16(value.len() as u16);
        value.resize(value.len().next_multiple_of(4), 0);
        [&self.u16(code)[..], &length, &value].concat()
    }

    fn enhanced(self, interface: u32, ticks: u64, original_length: u32, bytes: &[u8]) -> Vec<u8> {
        let (high, low) = ((ticks >> 32) as u32, ticks as u32);
        let header = self.words(&[interface, high, low, bytes.len() as u32, original_length]);
        self.block(6, &[&header, bytes])
    }
}

fn read(file: &[u8]) -> Result<Vec<CapturedFrame>, CaptureError> {
    CaptureReader::new("test.pcap", Cursor::new(file.to_vec()))?.collect()
}

fn fault(file: &[u8]) -> String {
    read(file).unwrap_err().to_string()
}

fn times(file: &[u8]) -> Vec<u64> {
    let frames = read(file).unwrap();
    frames.iter().map(|frame| frame.timestamp).collect()
}

#[test]
fn pcap_is_read_in_both_orders_and_resolutions() {
    for order in Order::BOTH {
        for (magic, nanoseconds_per_tick) in [(0xa1b2_c3d4, 1000), (0xa1b2_3c4d, 1)] {
            let file = [
                order.pcap(magic, 1),
                order.pcap_frame([1, 2], 1500, &[7; 96]),
                order.pcap_frame([u32::MAX, 999_999], 3, &[8; 3]),
            ]
            .concat();
            let frames = read(&file).unwrap();
            let [cut, whole] = &frames[..] else {
                panic!("{frames:?}")
            };
            assert_eq!(cut.timestamp, 1_000_000_000 + 2 * nanoseconds_per_tick);
            assert_eq!(
                whole.timestamp,
                u64::from(u32::MAX) * 1_000_000_000 + 999_999 * nanoseconds_per_tick
            );
            assert_eq!((&cut.bytes[..], cut.original_length), (&[7; 96][..], 1500));
            assert!(cut.is_truncated());
            assert_eq!((&whole.bytes[..], whole.original_length), (&[8; 3][..], 3));
            assert!(!whole.is_truncated());
        }
    }
}

#[test]
fn pcapng_interfaces_count_time_in_their_own_way() {
    for order in Order::BOTH {
        let resolution = |value: u8| order.option(9, &[value]);
        let offset = order.option(14, &order.i64(-1));
        let file = [
            order.section(),
            order.interface(1, 0, &[]),
            order.interface(1, 0, &resolution(9)),
            order.interface(1, 0, &resolution(0x80 | 10)),
            order.interface(1, 0, &[resolution(0), offset].concat()),
            order.enhanced(0, 5_000_000, 60, &[0; 60]),
            order.enhanced(1, 5_000_000_001, 60, &[1; 60]),
            order.enhanced(2, 5 << 10 | 512, 60, &[2; 60]),
            order.enhanced(3, 7, 60, &[3; 59]),
        ]
        .concat();
        let expected = [5_000_000_000, 5_000_000_001, 5_500_000_000, 6_000_000_000];
        assert_eq!(times(&file), expected);
        let frames = read(&file).unwrap();
        for (place, frame) in frames.iter().enumerate() {
            assert_eq!(frame.interface, place as u32);
            assert!(frame.bytes.iter().all(|byte| *byte == place as u8));
        }
        assert!(frames[3].is_truncated());
        assert_eq!(frames[3].bytes.len(), 59);
    }
}

#[test]
fn a_section_describes_its_own_interfaces_in_its_own_order() {
    let [little, big] = Order::BOTH;
    let file = [
        little.section(),
        little.interface(1, 0, &little.option(9, &[9])),
        little.enhanced(0, 1, 1, &[1]),
        big.section(),
        big.interface(1, 0, &[]),
        big.enhanced(0, 1, 1, &[1]),
    ]
    .concat();
    assert_eq!(times(&file), [1, 1000]);
    let without = [file, little.section(), little.enhanced(0, 1, 1, &[1])].concat();
    assert_eq!(
        fault(&without),
        "test.pcap, frame 3: interface 0 is not described in the file"
    );
}

#[test]
fn a_simple_packet_follows_the_frame_before_and_is_cut_by_the_snap_length() {
    for order in Order::BOTH {
        let file = [
            order.section(),
            order.interface(1, 6, &[]),
            order.enhanced(0, 9, 4, &[1; 4]),
            order.block(3, &[&order.u32(100), &[2; 6]]),
        ]
        .concat();
        let frames = read(&file).unwrap();
        assert_eq!(frames[1].timestamp, 9000);
        assert_eq!(frames[1].bytes, [2; 6]);
        assert_eq!(frames[1].original_length, 100);
    }
}

#[test]
fn blocks_that_hold_no_frame_are_passed_over() {
    let order = Order::Little;
    let file = [
        order.section(),
        order.interface(1, 0, &[]),
        order.block(5, &[&[0; 12]]),
        order.block(0x7777, &[&[0; 300_000]]),
        order.enhanced(0, 9, 4, &[1; 4]),
    ]
    .concat();
    assert_eq!(times(&file), [9000]);
}

#[test]
fn a_super_frame_larger_than_the_first_buffer_is_read() {
    let order = Order::Little;
    let bytes = vec![5; 3 * FIRST_BUFFER];
    let length = bytes.len() as u32;
    let file = [
        order.pcap(0xa1b2_c3d4, 1),
        order.pcap_frame([0, 0], length, &bytes),
        order.pcap_frame([0, 1], 1, &[6]),
    ]
    .concat();
    let frames = read(&file).unwrap();
    assert!(frames[0].bytes == bytes);
    assert_eq!(frames[1].bytes, [6]);
}

#[test]
fn only_ethernet_is_taken() {
    let order = Order::Little;
    let pcap = [
        order.pcap(0xa1b2_c3d4, 113),
        order.pcap_frame([0, 0], 1, &[0]),
    ]
    .concat();
    let message = fault(&pcap);
    assert!(
        message.starts_with("test.pcap, frame 1: link type 113 is not Ethernet"),
        "{message}"
    );
    let pcapng = [
        order.section(),
        order.interface(101, 0, &[]),
        order.interface(1, 0, &[]),
        order.enhanced(1, 0, 1, &[0]),
        order.enhanced(0, 0, 1, &[0]),
    ]
    .concat();
    let message = fault(&pcapng);
    assert!(
        message.starts_with("test.pcap, frame 2: link type 101 is not Ethernet"),
        "{message}"
    );
}

#[test]
fn what_is_no_capture_is_refused_at_once() {
    for file in [&b""[..], b"\x0a", b"[[host]]\nname = \"a\"\n", &[0; 64]] {
        let error = CaptureReader::new("hosts.toml", Cursor::new(file))
            .err()
            .unwrap();
        assert_eq!(
            error.to_string(),
            "hosts.toml: this is neither a pcap nor a pcapng file"
        );
    }
    let missing = CaptureReader::open(Path::new("no/such/file.pcap"));
    let message = missing.err().unwrap().to_string();
    assert!(message.starts_with("no/such/file.pcap: "), "{message}");
}

#[test]
fn a_file_cut_short_gives_its_whole_frames_and_then_names_the_broken_one() {
    let order = Order::Big;
    let pcapng = [
        order.section(),
        order.interface(1, 0, &[]),
        order.enhanced(0, 1, 60, &[1; 60]),
    ]
    .concat();
    let pcap = [
        order.pcap(0xa1b2_c3d4, 1),
        order.pcap_frame([0, 0], 60, &[1; 60]),
    ]
    .concat();
    let second = [
        order.enhanced(0, 2, 60, &[2; 60]),
        order.pcap_frame([0, 0], 60, &[2; 60]),
    ];
    for (file, second) in [pcapng, pcap].into_iter().zip(second) {
        for kept in 1..second.len() {
            let cut = [&file[..], &second[..kept]].concat();
            let mut reader = CaptureReader::new("cut", Cursor::new(cut)).unwrap();
            assert_eq!(reader.next().unwrap().unwrap().bytes, [1; 60]);
            let error = reader.next().unwrap().unwrap_err();
            assert_eq!(error.frame(), Some(2));
            assert!(
                matches!(error.fault(), CaptureFault::CutShort),
                "{kept}: {error}"
            );
            assert!(reader.next().is_none());
        }
    }
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let order = Order::Little;
    let enhanced = |length: u32| {
        let header = order.words(&[0, 0, 0, length, length]);
        order.block(6, &[&header, &[0; 8]])
    };
    let start = [order.section(), order.interface(1, 0, &[])].concat();
    for length in [9, 1000, 1 << 25, u32::MAX - 3, u32::MAX] {
        let file = [start.clone(), enhanced(length), enhanced(8)].concat();
        assert!(read(&file).is_err(), "{length}");
    }
    let short = [start.clone(), order.words(&[6, 4, 0, 4])].concat();
    assert!(read(&short).is_err());
    let obsolete = [start, order.block(2, &[&[0; 20]])].concat();
    assert!(fault(&obsolete).contains("editcap"));
}

#[test]
fn a_time_that_nanoseconds_cannot_say_is_refused() {
    let order = Order::Little;
    let interface = |options: &[u8]| order.interface(1, 0, options);
    for (options, ticks) in [
        (order.option(9, &[0]), u64::MAX),
        (order.option(9, &[20]), 1),
        (order.option(9, &[0x80 | 64]), 1),
        (order.option(14, &order.i64(-2)), 1_000_000),
        (order.option(14, &order.i64(i64::MAX)), u64::MAX),
    ] {
        let file = [
            order.section(),
            interface(&options),
            order.enhanced(0, ticks, 1, &[0]),
        ]
        .concat();
        let message = fault(&file);
        assert!(message.contains("timestamp"), "{message}");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_behind_a_good_start_are_read_or_refused(
        tail in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..200),
        pcapng in proptest::arbitrary::any::<bool>(),
    ) {
        let order = Order::Little;
        let start = if pcapng {
            [order.section(), order.interface(1, 0, &[])].concat()
        } else {
            order.pcap(0xa1b2_c3d4, 1)
        };
        let _ = read(&[start, tail].concat());
    }

    #[test]
    fn any_damaged_byte_is_read_or_refused(place in 0usize..200, byte in proptest::arbitrary::any::<u8>()) {
        let order = Order::Big;
        let mut file = [
            order.section(),
            order.interface(1, 0, &order.option(9, &[9])),
            order.enhanced(0, 1, 60, &[1; 60]),
            order.enhanced(0, 2, 60, &[2; 60]),
        ]
        .concat();
        let place = place % file.len();
        file[place] = byte;
        let _ = read(&file);
    }
}
