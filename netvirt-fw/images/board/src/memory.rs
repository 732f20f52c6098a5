use static_cell::ConstStaticCell;

/// Memory for frames: `COUNT` pieces of `SIZE` bytes each. A `static` of it named `PACKETS` is told apart from all other
/// memory of the image when that is measured.
#[repr(C, align(64))]
pub struct PacketMemory<const SIZE: usize, const COUNT: usize> {
    pieces: ConstStaticCell<[[u8; SIZE]; COUNT]>,
}

impl<const SIZE: usize, const COUNT: usize> PacketMemory<SIZE, COUNT> {
    /// Memory that nobody took yet.
    #[expect(
        clippy::new_without_default,
        reason = "it is too large to be made at run time"
    )]
    pub const fn new() -> Self {
        const { assert!(SIZE.is_multiple_of(64)) };
        Self {
            pieces: ConstStaticCell::new([[0; SIZE]; COUNT]),
        }
    }

    /// All pieces, for who asks first.
    pub fn take(&'static self) -> Option<&'static mut [[u8; SIZE]; COUNT]> {
        self.pieces.try_take()
    }
}
