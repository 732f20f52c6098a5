//! The netvirt host switch.
