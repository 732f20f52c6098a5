//! The netvirt host switch.

pub mod capture;
