//! Says how the image is linked.

fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    println!("cargo:rustc-link-search={here}");
    for script in ["memory.x", "link.x", "defmt.x"] {
        println!("cargo:rustc-link-arg=-T{script}");
    }
    println!("cargo:rerun-if-changed=memory.x");
}
