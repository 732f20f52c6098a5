//! What a NIC does, measured in software: segmentation, merging, Toeplitz. What comes out is verified before it is
//! timed.
//!
//! `cargo bench --bench offload` runs all and prints one table at the end; an argument runs what it matches.

#[path = "../datapath/cache.rs"]
mod cache;
mod frames;
mod hashing;
mod merging;
#[path = "../datapath/pages.rs"]
mod pages;
mod report;
#[path = "../datapath/sampler.rs"]
mod sampler;
mod segmentation;

#[global_allocator]
static ALLOCATOR: pages::PagedAllocator = pages::PagedAllocator;

fn main() {
    pages::map_large_allocations();
    let mut sampler = sampler::Sampler::new();
    segmentation::run(&mut sampler);
    merging::run(&mut sampler);
    hashing::run(&mut sampler);
    report::print(&sampler.results);
}
