//! The netvirt host switch.

pub mod policy_file;
