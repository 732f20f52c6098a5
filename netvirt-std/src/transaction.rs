//! Changes in the core's one encoding.

use netvirt_core::policy::{Change, MAX_CHANGE_LENGTH, TransactionWriter};

/// Encodes changes, in their order, as one transaction.
pub fn encode(changes: &[Change]) -> Vec<u8> {
    let mut buffer = vec![0; changes.len() * MAX_CHANGE_LENGTH];
    let mut writer = TransactionWriter::new(&mut buffer);
    for change in changes {
        writer
            .push(change)
            .expect("the buffer holds MAX_CHANGE_LENGTH bytes for each change");
    }
    let length = writer.finish().len();
    buffer.truncate(length);
    buffer.shrink_to_fit();
    buffer
}
