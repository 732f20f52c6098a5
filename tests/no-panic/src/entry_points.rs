//! What the gate proves: one function for every entry point of the datapath, each calling it with arguments
//! that the compiler cannot know. A new entry point of netvirt-core gets its line here.

use core::net::IpAddr;

use netvirt_core::{InvalidAddress, MacAddress, Prefix, Vsid};

/// Exports each function under its own name, so that linker and optimizer must keep it. No C program calls
/// them: arguments and results may be any Rust type.
macro_rules! entry_points {
    ($(fn $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)? $body:block)*) => {
        $(
            #[unsafe(no_mangle)]
            #[allow(improper_ctypes_definitions)]
            extern "C" fn $name($($argument: $type),*) $(-> $result)? $body
        )*
    };
}

entry_points! {
    fn vsid_new(value: u32) -> Result<Vsid, InvalidAddress> { Vsid::new(value) }
    fn mac_address_unicast(mac: MacAddress) -> Result<MacAddress, InvalidAddress> { mac.unicast() }
    fn prefix_of(address: IpAddr, length: u8) -> Result<Prefix, InvalidAddress> { Prefix::of(address, length) }
    fn prefix_contains(prefix: Prefix, address: IpAddr) -> bool { prefix.contains(address) }
    fn prefix_last(prefix: Prefix) -> IpAddr { prefix.last() }
}
