//! What a NIC does, in software, held against references that are written from scratch.

#[path = "../support/mod.rs"]
mod support;

mod kept_apart;
mod merge_properties;
mod mergers;
mod merging;
mod refused_segmentation;
mod rss;
mod segment_properties;
mod segmentation;
mod super_frames;
mod vmq;
