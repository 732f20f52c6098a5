//! The datapath measured: parse, table lookup and the whole path of a packet, beside others where they can do the
//! same work. Every contestant's result is compared with what was expected before it is timed.
//!
//! `cargo bench --bench datapath` runs all and prints one table at the end; an argument runs what it matches.

mod cache;
mod expected;
mod headers;
mod mixes;
#[path = "../network/mod.rs"]
mod network;
mod pages;
mod report;
mod sampler;
mod tables;
mod traffic;
mod whole_path;

#[global_allocator]
static ALLOCATOR: pages::PagedAllocator = pages::PagedAllocator;

fn main() {
    pages::map_large_allocations();
    let mut sampler = sampler::Sampler::new();
    headers::run(&mut sampler);
    tables::run(&mut sampler);
    whole_path::run(&mut sampler);
    report::print(&sampler.results);
}
