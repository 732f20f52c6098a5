//! The netvirt host switch.

pub mod capture;
pub mod cpu;
pub mod demo;
pub mod explain;
mod held;
pub mod hex;
pub mod memory;
pub mod policy_file;
pub mod replay;
pub mod report;
pub mod switch;
