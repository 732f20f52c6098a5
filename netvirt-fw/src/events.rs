//! What is told to whoever watches the NIC, by `defmt`, by `log`, or to nobody.

macro_rules! info {
    ($text:literal $(, $value:expr)*) => {{
        #[cfg(feature = "defmt")]
        ::defmt::info!($text $(, $value)*);
        #[cfg(feature = "log")]
        ::log::info!($text $(, $value)*);
        $(let _ = &$value;)*
    }};
}

#[cfg(feature = "embassy-net")]
macro_rules! warning {
    ($text:literal $(, $value:expr)*) => {{
        #[cfg(feature = "defmt")]
        ::defmt::warn!($text $(, $value)*);
        #[cfg(feature = "log")]
        ::log::warn!($text $(, $value)*);
        $(let _ = &$value;)*
    }};
}
