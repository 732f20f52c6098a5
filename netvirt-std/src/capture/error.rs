//! What can be wrong with a capture file.

use std::path::{Path, PathBuf};
use std::{fmt, io};

/// A capture file could not be read or written.
#[derive(Debug)]
pub struct CaptureError {
    file: PathBuf,
    frame: Option<u64>,
    fault: CaptureFault,
}

impl CaptureError {
    pub(super) fn in_file(file: &Path, fault: CaptureFault) -> Self {
        Self {
            file: file.to_owned(),
            frame: None,
            fault,
        }
    }

    pub(super) fn in_frame(file: &Path, frame: u64, fault: CaptureFault) -> Self {
        Self {
            frame: Some(frame),
            ..Self::in_file(file, fault)
        }
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The frame, counted from 1 as Wireshark does, if it is about one.
    pub const fn frame(&self) -> Option<u64> {
        self.frame
    }

    /// What is wrong.
    pub const fn fault(&self) -> &CaptureFault {
        &self.fault
    }
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(frame) = self.frame {
            write!(f, ", frame {frame}")?;
        }
        write!(f, ": {}", self.fault)
    }
}

impl std::error::Error for CaptureError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            CaptureFault::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// What is wrong with a capture file.
#[derive(Debug)]
#[non_exhaustive]
pub enum CaptureFault {
    /// The operating system refused.
    Io(io::Error),
    /// The file could not be read to its end.
    Unreadable,
    /// Neither pcap nor pcapng.
    NotACapture,
    /// The file ends inside the frame.
    CutShort,
    /// What stands there is not legal in the format.
    Malformed,
    /// Larger than any frame.
    TooLarge,
    /// Frames of this link type (as registered with tcpdump.org) are no Ethernet frames.
    LinkType(i32),
    /// The frame names an interface that the file does not describe.
    UnknownInterface(u32),
    /// The frame stands in a Packet Block, which pcapng gave up for the Enhanced Packet Block.
    ObsoleteBlock,
    /// The timestamp lies before 1970 or after 2554, or its unit is unknown.
    Timestamp,
}

impl fmt::Display for CaptureFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Unreadable => f.write_str("reading failed before the end of the file"),
            Self::NotACapture => f.write_str("this is neither a pcap nor a pcapng file"),
            Self::CutShort => f.write_str("the file ends inside this frame: it was cut short"),
            Self::Malformed => {
                f.write_str("the file is damaged here: repair it with Wireshark or editcap")
            }
            Self::TooLarge => f.write_str("too large to be a frame: is the file damaged here?"),
            Self::LinkType(link_type) => write!(
                f,
                "link type {link_type} is not Ethernet: capture on one interface, not on \"any\""
            ),
            Self::UnknownInterface(interface) => {
                write!(f, "interface {interface} is not described in the file")
            }
            Self::ObsoleteBlock => {
                f.write_str("an obsolete Packet Block: convert the file with `editcap -F pcapng`")
            }
            Self::Timestamp => f.write_str("the timestamp lies before 1970 or after 2554"),
        }
    }
}
