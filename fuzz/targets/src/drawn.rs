//! Structured input: the strategies of the properties, each draw chosen by a few of the fuzzer's bytes.
//!
//! A byte of the input changes one draw and no other, and what stands twice happens twice: so the fuzzer can put
//! together sequences, step by step, that lead somewhere. (Proptest can read its random numbers from the input too,
//! but halves what is left of it at every choice.)

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Bytes that choose one draw.
pub const CHOICE: usize = 4;

/// What a strategy yields if these bytes are the seed of chance. None if it finds nothing that it may yield.
pub fn drawn<S: Strategy>(strategy: &S, choice: &[u8; CHOICE]) -> Option<S::Value> {
    let mut seed = [0; 32];
    seed[..CHOICE].copy_from_slice(choice);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let tree = strategy.new_tree(&mut runner).ok()?;
    Some(tree.current())
}

/// What a strategy yields for each choice in these bytes, at most `most` times.
pub fn all_drawn<S: Strategy>(strategy: &S, bytes: &[u8], most: usize) -> Vec<S::Value> {
    let (choices, _) = bytes.as_chunks();
    let choices = choices.iter().take(most);
    choices
        .filter_map(|choice| drawn(strategy, choice))
        .collect()
}
