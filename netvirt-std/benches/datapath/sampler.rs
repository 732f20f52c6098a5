//! Measuring: each benchmark is a Criterion benchmark of short passes, and what Criterion samples is kept for the
//! table at the end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput};

/// Passes of a sample at the least. Criterion plans by what a whole call takes, and filling buffers, which is not
/// timed, takes longest where they are cold: left alone it would sample single passes there.
const LEAST_PASSES: u64 = 32;

/// The least and the median of a benchmark's samples, in nanoseconds an operation.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// The least sample.
    pub least: f64,
    /// The median sample.
    pub median: f64,
}

/// What was measured, by group and name.
#[derive(Default)]
pub struct Results(BTreeMap<(String, String), Figures>);

impl Results {
    /// The figures of a benchmark, if it ran.
    pub fn get(&self, group: &str, name: &str) -> Option<Figures> {
        self.0.get(&(group.into(), name.into())).copied()
    }
}

/// The benchmarks and their results.
pub struct Sampler {
    /// Runs the benchmarks.
    pub criterion: Criterion,
    /// What came out.
    pub results: Results,
}

impl Sampler {
    /// Settings for many short benchmarks; what the command line says goes first.
    pub fn new() -> Self {
        let criterion = Criterion::default()
            .sample_size(10)
            .warm_up_time(Duration::from_millis(20))
            .measurement_time(Duration::from_millis(60))
            .nresamples(1000)
            .without_plots()
            .configure_from_args();
        Self {
            criterion,
            results: Results::default(),
        }
    }

    /// Whether the command line may ask for benchmarks of this group, so that others need not be prepared. A filter
    /// is a regular expression; here only the plain text that it begins with counts.
    pub fn wants(&self, group: &str) -> bool {
        let mut filters = std::env::args()
            .skip(1)
            .filter(|argument| !argument.starts_with('-'));
        filters.next().is_none_or(|filter| {
            let plain = filter.split(|character| "/.*+?()[]{}|^$\\".contains(character));
            group.contains(plain.into_iter().next().unwrap_or_default())
        })
    }

    /// Opens a group of benchmarks whose pass does `operations`.
    pub fn group<'a>(&'a mut self, name: &str, operations: usize) -> Group<'a> {
        let mut benchmarks = self.criterion.benchmark_group(name);
        benchmarks
            .sampling_mode(SamplingMode::Flat)
            .throughput(Throughput::Elements(operations as u64));
        Group {
            benchmarks,
            name: name.into(),
            operations,
            results: &mut self.results,
        }
    }
}

/// Benchmarks of one kind.
pub struct Group<'a> {
    benchmarks: BenchmarkGroup<'a, WallTime>,
    name: String,
    operations: usize,
    results: &'a mut Results,
}

impl Group<'_> {
    /// Measures `pass`, which yields how long its operations took.
    ///
    /// A sample is the median of its passes: one in which the thread was interrupted does not count.
    pub fn measure(&mut self, name: &str, mut pass: impl FnMut() -> Duration) {
        let mut samples: Vec<f64> = Vec::new();
        let mut passes_a_sample = 0;
        self.benchmarks.bench_function(name, |bencher| {
            bencher.iter_custom(|passes| {
                if passes != passes_a_sample {
                    // Until now Criterion was warming up.
                    samples.clear();
                    passes_a_sample = passes;
                }
                let run = passes.max(LEAST_PASSES);
                let mut times: Vec<Duration> = (0..run).map(|_| pass()).collect();
                times.sort_unstable();
                let median = times[times.len() / 2];
                samples.push(median.as_nanos() as f64 / self.operations as f64);
                median * passes as u32
            });
        });
        samples.sort_unstable_by(f64::total_cmp);
        if let (Some(least), Some(median)) = (samples.first(), samples.get(samples.len() / 2)) {
            let figures = Figures {
                least: *least,
                median: *median,
            };
            let key = (self.name.clone(), name.to_string());
            self.results.0.insert(key, figures);
        }
    }
}

/// How long `work` takes.
#[inline(always)]
pub fn time(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}
