//! Every regression case and every input of the corpora, through the targets that found them.

use std::fs;
use std::path::Path;

/// Replays what is kept for a target, and a few inputs that say next to nothing.
fn replay(name: &str, target: fn(&[u8])) {
    for length in 0..80 {
        for byte in [0, 1, 4, 0x45, 0x60, 0xff] {
            target(&vec![byte; length]);
        }
    }
    for kind in ["regressions", "corpus"] {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let Ok(directory) = fs::read_dir(fuzz.join(kind).join(name)) else {
            assert_ne!(kind, "corpus", "{name} has no corpus");
            continue;
        };
        for file in directory {
            let file = file.unwrap().path();
            // The last line before a failure says whose it is.
            println!("{}", file.display());
            target(&fs::read(&file).unwrap());
        }
    }
}

macro_rules! targets {
    ($($(#[$condition:meta])? $name:ident)*) => {
        $(
            $(#[$condition])?
            #[test]
            fn $name() {
                replay(stringify!($name), netvirt_fuzz_targets::$name);
            }
        )*
    };
}

targets! {
    checksums
    decoder
    encapsulate
    inbound
    network
    outbound
    #[cfg(feature = "host-switch")]
    policy_file
    rewrite
    #[cfg(feature = "host-switch")]
    script
    segments
    transactions
    wire
}
