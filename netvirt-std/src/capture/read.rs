//! Reading pcap and pcapng.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use pcap_parser::traits::{PcapNGPacketBlock, PcapReaderIterator};
use pcap_parser::{
    Block, EnhancedPacketBlock, IDB_MAGIC, InterfaceDescriptionBlock, LegacyPcapBlock, Linktype,
    OptionCode, PcapBlockOwned, PcapError, PcapHeader, SimplePacketBlock, UnknownBlock,
    create_reader,
};

use super::error::{CaptureError, CaptureFault};

const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

/// Room for a frame of 64 KiB and its block at once.
const FIRST_BUFFER: usize = 128 * 1024;
/// No block of a sane file is larger.
const LARGEST_BUFFER: usize = 16 * 1024 * 1024;

/// The Packet Block of early pcapng.
const OBSOLETE_PACKET_BLOCK: u32 = 2;

/// A frame as it was captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedFrame {
    /// When, in nanoseconds since 1970-01-01 UTC.
    pub timestamp: u64,
    /// The frame from its Ethernet header on, as much of it as was captured.
    pub bytes: Vec<u8>,
    /// How many bytes the frame had on the wire; more than `bytes` if a snap length cut it.
    pub original_length: u32,
    /// The interface, counted from 0 within its section of a pcapng file; 0 in pcap.
    pub interface: u32,
    /// What the capture says about it: the reason, if a switch has refused it.
    pub comment: Option<String>,
}

impl CapturedFrame {
    /// Whether bytes are missing at the end.
    pub fn is_truncated(&self) -> bool {
        self.bytes.len() < self.original_length as usize
    }
}

/// The frames of a capture in the order of the file: pcap or pcapng, of either byte order, with timestamps
/// of any resolution. All must be Ethernet frames.
///
/// Ends after the first error.
pub struct CaptureReader {
    file: PathBuf,
    blocks: Box<dyn PcapReaderIterator + Send>,
    format: Format,
    /// Frames returned so far.
    frames: u64,
    /// The end, or an error, was reached.
    finished: bool,
}

impl CaptureReader {
    /// Opens a capture file.
    ///
    /// # Errors
    /// The file cannot be opened, or is no capture.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let file = File::open(path)
            .map_err(|error| CaptureError::in_file(path, CaptureFault::Io(error)))?;
        Self::new(path, file)
    }

    /// Reads a capture from anywhere; `name` stands for the file in errors.
    ///
    /// # Errors
    /// What is read does not begin as a capture does.
    pub fn new(
        name: impl Into<PathBuf>,
        source: impl Read + Send + 'static,
    ) -> Result<Self, CaptureError> {
        let file = name.into();
        let blocks = create_reader(FIRST_BUFFER, source).map_err(|error| {
            let fault = match error {
                PcapError::ReadError => CaptureFault::Unreadable,
                _ => CaptureFault::NotACapture,
            };
            CaptureError::in_file(&file, fault)
        })?;
        Ok(Self {
            file,
            blocks,
            format: Format::Section(Vec::new()),
            frames: 0,
            finished: false,
        })
    }

    /// The name of an interface of the section that the last frame was in, if it has one.
    pub fn interface_name(&self, interface: u32) -> Option<&str> {
        match &self.format {
            Format::Pcap(_) => None,
            Format::Section(interfaces) => interfaces.get(interface as usize)?.name.as_deref(),
        }
    }

    /// Reads blocks up to the next frame.
    fn next_frame(&mut self) -> Result<Option<CapturedFrame>, CaptureFault> {
        let mut capacity = FIRST_BUFFER;
        loop {
            match self.blocks.next() {
                Ok((length, block)) => {
                    let frame = self.format.take(block);
                    self.blocks.consume(length);
                    if let Some(frame) = frame? {
                        return Ok(Some(frame));
                    }
                }
                Err(PcapError::Eof) => return Ok(None),
                Err(PcapError::Incomplete(_)) => {
                    let refilled = self.blocks.refill();
                    refilled.map_err(|_| CaptureFault::Unreadable)?;
                }
                Err(PcapError::BufferTooSmall) => {
                    capacity = capacity.saturating_mul(2);
                    if capacity > LARGEST_BUFFER {
                        return Err(CaptureFault::TooLarge);
                    }
                    self.blocks.grow(capacity);
                    let refilled = self.blocks.refill();
                    refilled.map_err(|_| CaptureFault::Unreadable)?;
                }
                Err(PcapError::UnexpectedEof) => return Err(CaptureFault::CutShort),
                Err(_) => return Err(CaptureFault::Malformed),
            }
        }
    }
}

impl Iterator for CaptureReader {
    type Item = Result<CapturedFrame, CaptureError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        match self.next_frame() {
            Ok(Some(frame)) => {
                self.frames += 1;
                Some(Ok(frame))
            }
            Ok(None) => {
                self.finished = true;
                None
            }
            Err(fault) => {
                self.finished = true;
                let frame = self.frames + 1;
                Some(Err(CaptureError::in_frame(&self.file, frame, fault)))
            }
        }
    }
}

/// What the blocks before say about the frames behind them.
enum Format {
    /// A pcap file.
    Pcap(Interface),
    /// A section of a pcapng file with its interfaces.
    Section(Vec<Interface>),
}

impl Format {
    fn take(&mut self, block: PcapBlockOwned<'_>) -> Result<Option<CapturedFrame>, CaptureFault> {
        match (block, self) {
            (PcapBlockOwned::LegacyHeader(header), format) => {
                *format = Self::Pcap(Interface::of_pcap(&header));
                Ok(None)
            }
            (PcapBlockOwned::Legacy(block), Self::Pcap(interface)) => {
                interface.pcap_frame(&block).map(Some)
            }
            (PcapBlockOwned::NG(block), Self::Section(interfaces)) => {
                take_block(interfaces, &block)
            }
            _ => Err(CaptureFault::Malformed),
        }
    }
}

fn take_block(
    interfaces: &mut Vec<Interface>,
    block: &Block<'_>,
) -> Result<Option<CapturedFrame>, CaptureFault> {
    match block {
        Block::SectionHeader(_) => {
            interfaces.clear();
            Ok(None)
        }
        Block::InterfaceDescription(description) => {
            interfaces.push(Interface::of_pcapng(description));
            Ok(None)
        }
        Block::EnhancedPacket(packet) => interfaces
            .get_mut(packet.if_id as usize)
            .ok_or(CaptureFault::UnknownInterface(packet.if_id))?
            .enhanced_frame(packet)
            .map(Some),
        Block::SimplePacket(packet) => interfaces
            .first()
            .ok_or(CaptureFault::UnknownInterface(0))?
            .simple_frame(packet)
            .map(Some),
        Block::Unknown(UnknownBlock { block_type, .. })
            if [*block_type, block_type.swap_bytes()].contains(&OBSOLETE_PACKET_BLOCK) =>
        {
            Err(CaptureFault::ObsoleteBlock)
        }
        _ => Ok(None),
    }
}

struct Interface {
    name: Option<String>,
    link_type: Linktype,
    /// The most bytes that were kept of a frame; 0 is no limit.
    snap_length: u32,
    clock: Option<Clock>,
    /// The timestamp of its last frame.
    last: u64,
}

impl Interface {
    fn of_pcap(header: &PcapHeader) -> Self {
        let ticks_per_second = if header.is_nanosecond_precision() {
            NANOSECONDS_PER_SECOND
        } else {
            1_000_000
        };
        Self {
            name: None,
            // The upper 16 bits can say how long the frame check sequence is.
            link_type: Linktype(header.network.0 & 0xffff),
            snap_length: header.snaplen,
            clock: Some(Clock {
                ticks_per_second,
                offset: 0,
            }),
            last: 0,
        }
    }

    fn of_pcapng(description: &InterfaceDescriptionBlock<'_>) -> Self {
        let name = description.if_name().and_then(Result::ok);
        Self {
            name: name.map(str::to_owned),
            link_type: description.linktype,
            snap_length: description.snaplen,
            clock: Clock::of(description),
            last: 0,
        }
    }

    fn check_link_type(&self) -> Result<(), CaptureFault> {
        match self.link_type {
            Linktype::ETHERNET => Ok(()),
            Linktype(other) => Err(CaptureFault::LinkType(other)),
        }
    }

    fn pcap_frame(&self, block: &LegacyPcapBlock<'_>) -> Result<CapturedFrame, CaptureFault> {
        self.check_link_type()?;
        let clock = self.clock.as_ref().ok_or(CaptureFault::Timestamp)?;
        let ticks = u64::from(block.ts_sec)
            .saturating_mul(clock.ticks_per_second)
            .saturating_add(block.ts_usec.into());
        let timestamp = clock.nanoseconds(ticks).ok_or(CaptureFault::Timestamp)?;
        Ok(frame(timestamp, block.data, block.origlen, 0))
    }

    fn enhanced_frame(
        &mut self,
        packet: &EnhancedPacketBlock<'_>,
    ) -> Result<CapturedFrame, CaptureFault> {
        self.check_link_type()?;
        let ticks = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
        let clock = self.clock.as_ref().ok_or(CaptureFault::Timestamp)?;
        self.last = clock.nanoseconds(ticks).ok_or(CaptureFault::Timestamp)?;
        let bytes = packet.packet_data();
        let mut options = packet.options.iter();
        let comment = options.find(|option| option.code == OptionCode::Comment);
        let comment = comment.and_then(|comment| comment.as_str().ok());
        Ok(CapturedFrame {
            comment: comment.map(str::to_owned),
            ..frame(self.last, bytes, packet.origlen, packet.if_id)
        })
    }

    /// A Simple Packet Block has neither timestamp nor captured length: it follows the frame before it, and the
    /// snap length tells data from padding.
    fn simple_frame(&self, packet: &SimplePacketBlock<'_>) -> Result<CapturedFrame, CaptureFault> {
        self.check_link_type()?;
        let kept = match self.snap_length {
            0 => packet.origlen,
            limit => packet.origlen.min(limit),
        };
        let bytes = packet
            .data
            .get(..kept as usize)
            .ok_or(CaptureFault::Malformed)?;
        Ok(frame(self.last, bytes, packet.origlen, 0))
    }
}

fn frame(timestamp: u64, bytes: &[u8], original_length: u32, interface: u32) -> CapturedFrame {
    // Some writers leave the original length 0.
    let captured_length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    CapturedFrame {
        timestamp,
        bytes: bytes.to_vec(),
        original_length: original_length.max(captured_length),
        interface,
        comment: None,
    }
}

/// How an interface counts time.
struct Clock {
    ticks_per_second: u64,
    /// Seconds to be added.
    offset: i64,
}

impl Clock {
    /// `None` if a tick is shorter than 64 bits can say. The crate's own helper knows no powers of two and takes
    /// the offset for little-endian.
    fn of(description: &InterfaceDescriptionBlock<'_>) -> Option<Self> {
        let exponent = u32::from(description.if_tsresol & 0x7f);
        let base = if description.if_tsresol & 0x80 == 0 {
            10u64
        } else {
            2
        };
        let is_big_endian = description.block_type != IDB_MAGIC;
        let offset = description
            .options
            .iter()
            .find(|option| option.code == OptionCode::IfTsoffset)
            .and_then(|option| option.value.first_chunk())
            .map_or(0, |bytes| {
                if is_big_endian {
                    i64::from_be_bytes(*bytes)
                } else {
                    i64::from_le_bytes(*bytes)
                }
            });
        Some(Self {
            ticks_per_second: base.checked_pow(exponent)?,
            offset,
        })
    }

    fn nanoseconds(&self, ticks: u64) -> Option<u64> {
        let scaled = u128::from(ticks).checked_mul(NANOSECONDS_PER_SECOND.into())?;
        let since_offset = i128::try_from(scaled / u128::from(self.ticks_per_second)).ok()?;
        let offset = i128::from(self.offset) * i128::from(NANOSECONDS_PER_SECOND);
        u64::try_from(since_offset + offset).ok()
    }
}

#[cfg(test)]
mod tests;
