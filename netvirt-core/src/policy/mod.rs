//! What the operator said: tables that packets read, and the transactions that change them.

mod change;
mod transaction;

pub use change::*;
pub use transaction::*;
