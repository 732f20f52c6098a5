//! A driver as rings.

#[path = "support/wire.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use netvirt_fw::driver::{DriverRings, Lost};
use netvirt_fw::rings::{Buffer, BufferMemory, Queue, Rings};

use wire::MemoryDriver;

const LONGEST: usize = 100;

type Memory = BufferMemory<[u8; Buffer::HEADROOM + LONGEST]>;
type Places = Vec<Option<Buffer<'static>>>;

fn places(count: usize) -> &'static mut [Option<Buffer<'static>>] {
    Places::leak((0..count).map(|_| None).collect())
}

fn pool(buffers: usize) -> Queue<'static, 'static> {
    let mut pool = Queue::new(places(buffers));
    for _ in 0..buffers {
        let memory = Box::leak(Box::new(Memory::new()));
        assert!(pool.push(Buffer::new(memory)).is_ok());
    }
    pool
}

fn contents(queue: &mut Queue<'_, 'static>) -> Vec<Vec<u8>> {
    queue.iter().map(|buffer| buffer.frame().to_vec()).collect()
}

/// Counts how often it was woken.
#[derive(Default)]
struct Alarm(AtomicUsize);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Bench {
    driver: MemoryDriver,
    rings: DriverRings<'static, 'static, MemoryDriver>,
    pool: Queue<'static, 'static>,
    frames: Queue<'static, 'static>,
    alarm: Arc<Alarm>,
}

impl Bench {
    /// With so many buffers, a driver that can send so many frames, and places for so many sent buffers.
    fn new(buffers: usize, room: usize, sent: usize) -> Self {
        let driver = MemoryDriver::new(LONGEST, room);
        Self {
            rings: DriverRings::new(driver.clone(), places(sent)),
            driver,
            pool: pool(buffers),
            frames: Queue::new(places(8)),
            alarm: Arc::default(),
        }
    }

    fn receive(&mut self) {
        let waker = Waker::from(self.alarm.clone());
        let cx = &mut Context::from_waker(&waker);
        self.rings.receive(cx, &mut self.frames, &mut self.pool);
    }

    fn room(&mut self) -> usize {
        let waker = Waker::from(self.alarm.clone());
        let cx = &mut Context::from_waker(&waker);
        self.rings.room(cx, &mut self.pool)
    }

    fn queue(&mut self, frame: &[u8]) {
        let mut buffer = self.pool.pop().unwrap();
        buffer.fill(frame).unwrap();
        assert!(self.frames.push(buffer).is_ok());
    }

    fn woken(&self) -> usize {
        self.alarm.0.swap(0, Ordering::Relaxed)
    }
}

#[test]
fn frames_come_in_their_order_behind_the_headroom() {
    let mut bench = Bench::new(4, 4, 4);
    for frame in [&[1; 60][..], &[2; LONGEST], &[]] {
        bench.driver.arrive(frame);
    }
    bench.receive();
    let expected = [vec![1; 60], vec![2; LONGEST], vec![]];
    assert_eq!(contents(&mut bench.frames), expected);
    assert_eq!(bench.pool.len(), 1);
    let starts = bench.frames.iter().map(|frame| frame.place().start);
    assert!(starts.eq([Buffer::HEADROOM; 3]));
}

#[test]
fn who_received_all_is_woken_by_the_next_frame() {
    let mut bench = Bench::new(4, 4, 4);
    bench.receive();
    assert_eq!(bench.woken(), 0);
    bench.driver.arrive(&[1; 60]);
    assert_eq!(bench.woken(), 1);
}

#[test]
fn without_buffers_or_places_frames_stay_in_the_driver() {
    let mut bench = Bench::new(1, 4, 4);
    bench.driver.arrive(&[1; 60]);
    bench.driver.arrive(&[2; 60]);
    bench.receive();
    bench.receive();
    assert_eq!(contents(&mut bench.frames), [[1; 60]]);
    let buffer = bench.frames.pop().unwrap();
    assert!(bench.pool.push(buffer).is_ok());
    bench.frames = Queue::new(places(0));
    bench.receive();
    bench.frames = Queue::new(places(1));
    bench.receive();
    assert_eq!(contents(&mut bench.frames), [[2; 60]]);
    assert_eq!(bench.rings.lost(), Lost::default());
}

#[test]
fn a_frame_too_long_for_a_buffer_is_counted_and_the_next_one_taken() {
    let mut bench = Bench::new(2, 4, 4);
    bench.driver.arrive(&[1; LONGEST + 1]);
    bench.driver.arrive(&[2; 60]);
    bench.receive();
    assert_eq!(contents(&mut bench.frames), [[2; 60]]);
    assert_eq!(
        bench.rings.lost(),
        Lost {
            received: 1,
            sent: 0
        }
    );
    assert_eq!(bench.pool.len(), 1);
}

#[test]
fn frames_are_sent_as_long_as_the_driver_takes_them() {
    let mut bench = Bench::new(4, 2, 4);
    for number in 1..=3 {
        bench.queue(&[number; 60]);
    }
    assert_eq!(bench.room(), 1);
    bench.rings.send(&mut bench.frames);
    assert_eq!(contents(&mut bench.frames), [[3; 60]], "the rest waits");
    assert_eq!(bench.room(), 0);
    assert_eq!(bench.pool.len(), 3, "sent buffers are spare again");
    assert_eq!(bench.woken(), 0);
    assert_eq!(bench.driver.sent(), [[1; 60], [2; 60]]);
    assert_eq!(bench.woken(), 1);
    bench.rings.send(&mut bench.frames);
    assert_eq!(bench.driver.sent(), [[3; 60]]);
}

#[test]
fn sending_wakes_who_asked_for_room_last() {
    let mut bench = Bench::new(4, 1, 4);
    bench.queue(&[1; 60]);
    bench.queue(&[2; 60]);
    assert_eq!(bench.room(), 1);
    bench.rings.send(&mut bench.frames);
    bench.driver.sent();
    assert_eq!(
        bench.woken(),
        1,
        "though the driver was asked in vain without him"
    );
}

#[test]
fn no_more_is_sent_than_buffers_can_be_kept() {
    let mut bench = Bench::new(3, 4, 1);
    bench.queue(&[1; 60]);
    bench.queue(&[2; 60]);
    bench.rings.send(&mut bench.frames);
    assert_eq!((bench.frames.len(), bench.pool.len()), (1, 1));
    bench.rings.send(&mut bench.frames);
    assert_eq!(bench.room(), 1);
    bench.rings.send(&mut bench.frames);
    assert_eq!(bench.driver.sent(), [[1; 60], [2; 60]]);
}

#[test]
fn a_frame_that_the_driver_cannot_carry_is_counted() {
    let mut bench = Bench::new(4, 4, 4);
    bench.queue(&[1; 60]);
    let mut grown = bench.frames.pop().unwrap();
    grown.push(50).unwrap();
    assert!(bench.frames.push(grown).is_ok());
    bench.queue(&[2; 60]);
    bench.rings.send(&mut bench.frames);
    assert_eq!(bench.driver.sent(), [[2; 60]]);
    assert_eq!(
        bench.rings.lost(),
        Lost {
            received: 0,
            sent: 1
        }
    );
    assert_eq!(bench.room(), 1);
    assert_eq!(bench.pool.len(), 4);
}

#[test]
fn the_link_is_the_drivers() {
    let mut bench = Bench::new(0, 1, 1);
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(bench.rings.is_up(cx));
    bench.driver.touch(|hardware| hardware.is_down = true);
    assert!(!bench.rings.is_up(cx));
    assert_eq!(bench.rings.longest_frame(), LONGEST);
    assert!(!bench.rings.capabilities().checksum);
}
