//! Writing pcapng.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::geteuid;

use super::error::{CaptureError, CaptureFault};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const LINK_TYPE_ETHERNET: u16 = 1;
/// `if_tsresol` of 10^-9 seconds.
const NANOSECONDS: u8 = 9;

const OPTION_COMMENT: u16 = 1;
const OPTION_USER_APPLICATION: u16 = 4;
const OPTION_INTERFACE_NAME: u16 = 2;
const OPTION_TIMESTAMP_RESOLUTION: u16 = 9;
const OPTION_PACKET_FLAGS: u16 = 2;

/// An interface of a [`CaptureWriter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InterfaceId(u32);

/// Which way a frame went, seen from the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Into the switch.
    Inbound,
    /// Out of the switch.
    Outbound,
}

/// Writes frames of several interfaces into one pcapng file, with timestamps in nanoseconds, their direction
/// and a comment each, which Wireshark shows beside the frame.
///
/// Call [`finish`](Self::finish), or what is still buffered can be lost without a word.
pub struct CaptureWriter<W: Write> {
    file: PathBuf,
    output: W,
    interfaces: u32,
    /// The body of the block being built.
    body: Vec<u8>,
}

impl CaptureWriter<BufWriter<File>> {
    /// Makes a capture file, or replaces the one that is there.
    ///
    /// # Errors
    /// The file cannot be made or written.
    pub fn create(path: &Path) -> Result<Self, CaptureError> {
        let file = File::create(path)
            .map_err(|error| CaptureError::in_file(path, CaptureFault::Io(error)))?;
        Self::new(path, BufWriter::new(file))
    }

    /// The same in a directory where anybody can make files. What somebody else has put there is left alone: a link may
    /// lead to a file of the system.
    ///
    /// # Errors
    /// The file cannot be made or written, or is no file of one's own.
    pub fn create_among_others(path: &Path) -> Result<Self, CaptureError> {
        let file =
            open_own(path).map_err(|error| CaptureError::in_file(path, CaptureFault::Io(error)))?;
        Self::new(path, BufWriter::new(file))
    }
}

fn open_own(path: &Path) -> io::Result<File> {
    // A pipe would have to be waited for.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    let file = options.custom_flags(flags.bits() as i32).open(path)?;
    let there = file.metadata()?;
    if !there.is_file() || there.nlink() != 1 || there.uid() != geteuid().as_raw() {
        return Err(io::Error::other("somebody else's file is there"));
    }
    file.set_len(0)?;
    Ok(file)
}

impl<W: Write> CaptureWriter<W> {
    /// Writes a capture to anywhere; `name` stands for the file in errors.
    ///
    /// # Errors
    /// The output refuses the section header.
    pub fn new(name: impl Into<PathBuf>, output: W) -> Result<Self, CaptureError> {
        let mut writer = Self {
            file: name.into(),
            output,
            interfaces: 0,
            body: Vec::new(),
        };
        writer.put(&BYTE_ORDER_MAGIC.to_le_bytes());
        writer.put(&1u16.to_le_bytes());
        writer.put(&0u16.to_le_bytes());
        const LENGTH_NOT_GIVEN: i64 = -1;
        writer.put(&LENGTH_NOT_GIVEN.to_le_bytes());
        writer.put_text(OPTION_USER_APPLICATION, "netvirt");
        writer.end_options();
        writer.end_block(SECTION_HEADER)?;
        Ok(writer)
    }

    /// Adds an interface. Frames of it may follow.
    ///
    /// # Errors
    /// The output refuses it.
    pub fn add_interface(&mut self, name: &str) -> Result<InterfaceId, CaptureError> {
        const NO_SNAP_LENGTH: u32 = 0;
        self.put(&LINK_TYPE_ETHERNET.to_le_bytes());
        self.put(&0u16.to_le_bytes());
        self.put(&NO_SNAP_LENGTH.to_le_bytes());
        self.put_text(OPTION_INTERFACE_NAME, name);
        self.put_option(OPTION_TIMESTAMP_RESOLUTION, &[NANOSECONDS]);
        self.end_options();
        self.end_block(INTERFACE_DESCRIPTION)?;
        let interface = InterfaceId(self.interfaces);
        self.interfaces += 1;
        Ok(interface)
    }

    /// Writes a whole frame. The timestamp is in nanoseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// The output refuses it.
    pub fn write(
        &mut self,
        interface: InterfaceId,
        timestamp: u64,
        direction: Direction,
        bytes: &[u8],
        comment: Option<&str>,
    ) -> Result<(), CaptureError> {
        self.write_cut(
            interface,
            timestamp,
            direction,
            (bytes, bytes.len()),
            comment,
        )
    }

    /// Writes the front of a frame that had `original_length` bytes.
    ///
    /// # Errors
    /// The output refuses it.
    pub fn write_cut(
        &mut self,
        interface: InterfaceId,
        timestamp: u64,
        direction: Direction,
        (bytes, original_length): (&[u8], usize),
        comment: Option<&str>,
    ) -> Result<(), CaptureError> {
        let too_large = |_| CaptureError::in_file(&self.file, CaptureFault::TooLarge);
        let length = u32::try_from(bytes.len()).map_err(too_large)?;
        let original_length = u32::try_from(original_length).map_err(too_large)?;
        self.put(&interface.0.to_le_bytes());
        self.put(&((timestamp >> 32) as u32).to_le_bytes());
        self.put(&(timestamp as u32).to_le_bytes());
        self.put(&length.to_le_bytes());
        self.put(&original_length.to_le_bytes());
        self.put(bytes);
        self.pad();
        let flags: u32 = match direction {
            Direction::Inbound => 1,
            Direction::Outbound => 2,
        };
        self.put_option(OPTION_PACKET_FLAGS, &flags.to_le_bytes());
        if let Some(comment) = comment {
            self.put_text(OPTION_COMMENT, comment);
        }
        self.end_options();
        self.end_block(ENHANCED_PACKET)
    }

    /// Writes out what is still buffered.
    ///
    /// # Errors
    /// The output refuses it.
    pub fn flush(&mut self) -> Result<(), CaptureError> {
        self.output
            .flush()
            .map_err(|error| CaptureError::in_file(&self.file, CaptureFault::Io(error)))
    }

    /// Writes out what is still buffered, and gives the output back.
    ///
    /// # Errors
    /// The output refuses it.
    pub fn finish(mut self) -> Result<W, CaptureError> {
        self.flush()?;
        Ok(self.output)
    }

    fn put(&mut self, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
    }

    fn pad(&mut self) {
        self.body.resize(self.body.len().next_multiple_of(4), 0);
    }

    fn put_option(&mut self, code: u16, value: &[u8]) {
        let length = value.len() as u16;
        self.put(&code.to_le_bytes());
        self.put(&length.to_le_bytes());
        self.put(value);
        self.pad();
    }

    /// As much of a text as an option can hold.
    fn put_text(&mut self, code: u16, text: &str) {
        let end = text.floor_char_boundary(u16::MAX.into());
        self.put_option(code, &text.as_bytes()[..end]);
    }

    fn end_options(&mut self) {
        self.put(&[0; 4]);
    }

    /// Writes the block whose body was put together.
    fn end_block(&mut self, kind: u32) -> Result<(), CaptureError> {
        let write = |output: &mut W, body: &[u8]| {
            let length = (body.len() as u32 + 12).to_le_bytes();
            output.write_all(&kind.to_le_bytes())?;
            output.write_all(&length)?;
            output.write_all(body)?;
            output.write_all(&length)
        };
        let written = write(&mut self.output, &self.body);
        self.body.clear();
        written.map_err(|error| CaptureError::in_file(&self.file, CaptureFault::Io(error)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::super::read::CaptureReader;
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut writer = CaptureWriter::new("memory", Vec::new()).unwrap();
        let red = writer.add_interface("red-1").unwrap();
        let uplink = writer.add_interface("uplink").unwrap();
        let frames = [
            (red, 1, Direction::Inbound, vec![1; 60]),
            (uplink, u64::MAX, Direction::Outbound, vec![2; 61]),
            (red, 1_700_000_000_123_456_789, Direction::Inbound, vec![]),
        ];
        for (interface, timestamp, direction, bytes) in &frames {
            writer
                .write(*interface, *timestamp, *direction, bytes, Some("delivered"))
                .unwrap();
        }
        let file = writer.finish().unwrap();
        let read: Vec<_> = CaptureReader::new("memory", io::Cursor::new(file))
            .unwrap()
            .map(|frame| frame.unwrap())
            .collect();
        assert_eq!(read.len(), frames.len());
        for (read, (interface, timestamp, _, bytes)) in read.iter().zip(&frames) {
            assert_eq!(
                (read.interface, read.timestamp, &read.bytes),
                (interface.0, *timestamp, bytes)
            );
            assert!(!read.is_truncated());
        }
    }

    #[test]
    fn what_somebody_else_put_there_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let precious = directory.path().join("precious");
        let path = directory.path().join("demo.pcapng");
        for plant in [
            |precious: &Path, path: &Path| symlink(precious, path),
            |precious: &Path, path: &Path| fs::hard_link(precious, path),
        ] {
            fs::write(&precious, "what the system needs").unwrap();
            plant(&precious, &path).unwrap();
            let error = CaptureWriter::create_among_others(&path).err().unwrap();
            assert!(error.to_string().contains("demo.pcapng: "), "{error}");
            assert_eq!(fs::read(&precious).unwrap(), b"what the system needs");
            fs::remove_file(&path).unwrap();
        }
        // One's own is replaced.
        fs::write(&path, [0; 5000]).unwrap();
        CaptureWriter::create_among_others(&path)
            .unwrap()
            .finish()
            .unwrap();
        assert!(fs::metadata(&path).unwrap().len() < 5000);
    }

    #[test]
    fn a_cut_frame_keeps_its_original_length() {
        let mut writer = CaptureWriter::new("memory", Vec::new()).unwrap();
        let red = writer.add_interface("red-1").unwrap();
        writer
            .write_cut(red, 7, Direction::Inbound, (&[5; 61], 1514), None)
            .unwrap();
        let file = io::Cursor::new(writer.finish().unwrap());
        let read = CaptureReader::new("memory", file)
            .unwrap()
            .next()
            .unwrap()
            .unwrap();
        assert_eq!((read.bytes, read.original_length), (vec![5; 61], 1514));
    }

    /// The bytes that the pcapng draft (draft-ietf-opsawg-pcapng) asks for, block by block.
    #[test]
    fn direction_and_comment_stand_as_the_format_says() {
        let mut writer = CaptureWriter::new("memory", Vec::new()).unwrap();
        let uplink = writer.add_interface("up").unwrap();
        let start = writer.output.len();
        let timestamp = 0x0102_0304_0506_0708;
        writer
            .write(
                uplink,
                timestamp,
                Direction::Outbound,
                &[0xaa; 3],
                Some("no"),
            )
            .unwrap();
        let file = writer.finish().unwrap();
        let expected = [
            &[6, 0, 0, 0, 56, 0, 0, 0][..],
            &[0, 0, 0, 0, 4, 3, 2, 1, 8, 7, 6, 5],
            &[3, 0, 0, 0, 3, 0, 0, 0, 0xaa, 0xaa, 0xaa, 0],
            &[2, 0, 4, 0, 2, 0, 0, 0],
            &[1, 0, 2, 0, b'n', b'o', 0, 0],
            &[0, 0, 0, 0, 56, 0, 0, 0],
        ];
        assert_eq!(file[start..], expected.concat());
        let section = [
            &[0x0a, 0x0d, 0x0d, 0x0a, 44, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a][..],
            &[1, 0, 0, 0],
            &[0xff; 8],
            &[4, 0, 7, 0],
            b"netvirt\0",
            &[0, 0, 0, 0, 44, 0, 0, 0],
        ];
        let interface = [
            &[1, 0, 0, 0, 40, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0][..],
            &[2, 0, 2, 0, b'u', b'p', 0, 0],
            &[9, 0, 1, 0, 9, 0, 0, 0],
            &[0, 0, 0, 0, 40, 0, 0, 0],
        ];
        assert_eq!(
            file[..start],
            [section.concat(), interface.concat()].concat()
        );
    }

    #[test]
    fn a_comment_beyond_what_the_format_holds_is_cut_at_a_character() {
        let mut writer = CaptureWriter::new("memory", Vec::new()).unwrap();
        let uplink = writer.add_interface("up").unwrap();
        let start = writer.output.len();
        let comment = "é".repeat(40_000);
        writer
            .write(uplink, 0, Direction::Inbound, &[], Some(&comment))
            .unwrap();
        let file = writer.finish().unwrap();
        let option = &file[start + 36..];
        assert_eq!(option[..4], [1, 0, 0xfe, 0xff]);
        assert!(std::str::from_utf8(&option[4..][..0xfffe]).is_ok());
    }

    #[test]
    fn an_output_that_refuses_is_named() {
        struct FullDisk;
        impl Write for FullDisk {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = CaptureWriter::new("out.pcapng", FullDisk).err().unwrap();
        assert!(error.to_string().starts_with("out.pcapng: "), "{error}");
    }
}
