//! The netvirt host switch.

pub mod capture;
pub mod cpu;
pub mod memory;
pub mod policy_file;
