//! The netvirt host switch: [`netvirt_core`] with memory, a policy file and captures around it.
//!
//! One file describes the whole virtual network, every host derives its part from it, and a [`Switch`](switch::Switch)
//! carries that out, frame by frame. The program `netvirt` is made of this library.
//!
//! ```
//! use netvirt_std::policy_file::PolicyFile;
//! use netvirt_std::replay::Replay;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let text = include_str!("../../examples/two-hosts.toml");
//! let file = PolicyFile::parse(text, "two-hosts.toml").map_err(|errors| errors.to_string())?;
//! let host = file.for_host("host-1")?;
//! let replay = Replay::new(&host)?;
//! assert_eq!(replay.switch().policy().version(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! | Module | What is in it |
//! |---|---|
//! | [`policy_file`] | the file: read, checked, given provider addresses, and derived for one host |
//! | [`import`] | scripts of Hyper-V Network Virtualization, made into a policy file |
//! | [`memory`] | the tables of a host on the heap, of the size that its policy needs |
//! | [`live`], [`transaction`] | the policy of a running switch, and changes to it |
//! | [`host`] | a running switch: workers, devices, and the policy that they carry out |
//! | [`control`] | the control socket of a running switch: its HTTP API, and a client |
//! | [`offload`] | an offload NIC over the network: its policy, and what it counts |
//! | [`worker`] | a thread that carries frames between devices |
//! | [`switch`] | a host's switch without its devices, and the frames that wait for a next hop |
//! | [`capture`] | pcap and pcapng |
//! | [`replay`] | captured frames through a switch, offline |
//! | [`explain`] | a decision in words, with its near misses |
//! | [`demo`] | the demonstration network, and what is expected of it |
//! | [`device`] | where frames come from and go to: TAP, AF_PACKET, memory |
//! | [`cpu`] | what this processor can do for the core's tables |
//! | [`counters`] | what a switch counted, with names |
//! | [`report`], [`hex`] | tables of text, and bytes as text |

pub mod capture;
pub mod control;
pub mod counters;
pub mod cpu;
pub mod demo;
pub mod device;
mod echo;
pub mod explain;
mod held;
pub mod hex;
pub mod host;
pub mod import;
pub mod live;
pub mod memory;
pub mod offload;
pub mod policy_file;
pub mod replay;
pub mod report;
mod scheduling;
pub mod switch;
pub mod transaction;
pub mod worker;
