//! Throughput and size of the vector encodings on typical columns of a million values, one core.
//!
//! Run with `cargo bench -p lynxstore-storage --bench encoding`. Throughput is in elements per second of CPU time of the
//! thread; sizes and a checksum of each column are printed first. `baseline` measures what the machine gives without any
//! encoding; `crates` the crates `bitpacking` and `fastlanes` on numbers of the same widths, into a reused block.

#[path = "support/cpu_time.rs"]
mod cpu_time;

use std::hint::black_box;

use bitpacking::{BitPacker, BitPacker4x, BitPacker8x};
use cpu_time::CpuTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use fastlanes::BitPacking;
use lynxstore_storage::encoding::{
    VECTOR_LEN, VectorBuffer, VectorHeader, compare_vector_i64, decode_f64, decode_i64, encode_f64, encode_i64, kernel,
    min_max_vector_i64, sum_vector_i64,
};

const VALUES: usize = 1 << 20;

/// A linear congruential generator: the same columns in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % limit) as i64
    }
}

fn generate<T>(mut next: impl FnMut(&mut Random, i64) -> T) -> Vec<T> {
    let mut random = Random(42);
    (0..VALUES as i64).map(|i| next(&mut random, i)).collect()
}

/// A gauge like the CPU usage of a host: a random walk between 0 and 100.
fn walk(random: &mut Random, level: &mut f64) -> f64 {
    let step = (0..6).map(|_| random.below(1_000_000) as f64).sum::<f64>() / 1_000_000.0 - 3.0;
    *level = (*level + step * 1.4).clamp(0.0, 100.0);
    *level
}

fn integer_columns() -> Vec<(&'static str, Vec<i64>)> {
    const START_NS: i64 = 1_700_000_000_000_000_000;
    let (mut counter, mut level) = (0, 50.0);
    let (mut resetting, mut gapped, mut state) = (0, START_NS, 0);
    vec![
        ("time_regular", generate(|_, i| START_NS + i * 10_000_000_000)),
        ("time_jittered", generate(|random, i| START_NS + i * 10_000_000_000 + random.below(2_000_000))),
        (
            "counter",
            generate(|random, _| {
                counter += random.below(3_000);
                counter
            }),
        ),
        ("gauge_walk", generate(|random, _| walk(random, &mut level) as i64)),
        ("gauge_uniform_7_bits", generate(|random, _| random.below(128))),
        ("uniform_12_bits", generate(|random, _| random.below(4_096))),
        ("uniform_20_bits", generate(|random, _| random.below(1 << 20))),
        ("flag", generate(|random, _| random.below(2))),
        (
            "time_gaps",
            generate(|random, _| {
                gapped += if random.below(200) == 0 { random.below(100) * 1_000_000_000 } else { 10_000_000_000 };
                gapped
            }),
        ),
        (
            "counter_resets",
            generate(|random, _| {
                resetting = if random.below(500) == 0 { 0 } else { resetting + random.below(60) };
                resetting
            }),
        ),
        (
            "latency_outliers",
            generate(|random, _| if random.below(100) == 0 { random.below(1 << 20) } else { 40 + random.below(60) }),
        ),
        (
            "status_runs",
            generate(|random, _| {
                if random.below(50) == 0 {
                    state = random.below(6) * 1_000;
                }
                state
            }),
        ),
    ]
}

fn float_columns() -> Vec<(&'static str, Vec<f64>)> {
    let mut levels = [50.0; 3];
    let [integer, decimal, double] = &mut levels;
    vec![
        ("float_integers", generate(|random, _| walk(random, integer).floor())),
        ("float_two_decimals", generate(|random, _| (walk(random, decimal) * 100.0).round() / 100.0)),
        ("float_doubles", generate(|random, _| walk(random, double))),
        ("float_doubles_both_signs", generate(|random, _| random.below(1 << 30) as f64 / 3e9 - 0.1)),
    ]
}

/// An encoded column: headers, and the data of all vectors, 64-byte aligned as in a segment.
struct Encoded {
    vectors: Vec<(VectorHeader, std::ops::Range<usize>)>,
    bytes: Vec<u8>,
}

fn encode<T>(column: &[T], encode: impl Fn(&[T], &mut Vec<u8>) -> VectorHeader) -> Encoded {
    let (mut vectors, mut bytes) = (Vec::new(), Vec::new());
    for values in column.chunks(VECTOR_LEN) {
        bytes.resize(bytes.len().next_multiple_of(64), 0);
        let start = bytes.len();
        let header = encode(values, &mut bytes);
        vectors.push((header, start..bytes.len()));
    }
    Encoded { vectors, bytes }
}

impl Encoded {
    fn describe(&self, name: &str, checksum: i128) {
        let data: usize = self.vectors.iter().map(|(_, range)| range.len()).sum();
        let (encoding, width) = (self.vectors[0].0.encoding, self.vectors[0].0.width);
        let bytes_per_value = (data + self.vectors.len() * VectorHeader::BYTES) as f64 / VALUES as f64;
        let patched = if self.vectors[0].0.param >> 7 & 1 == 1 { ", patched" } else { "" };
        println!(
            "{name}: {bytes_per_value:.3} bytes/value with header, {encoding:?} {width} bits{patched}, sum {checksum}"
        );
    }

    fn each(&self, mut sink: impl FnMut(&VectorHeader, &[u8])) {
        for (header, range) in &self.vectors {
            sink(header, &self.bytes[range.clone()]);
        }
    }
}

fn integers(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("integers");
    group.throughput(Throughput::Elements(VALUES as u64));
    for (name, column) in integer_columns() {
        let encoded = encode(&column, |values, out| encode_i64(values, None, out).0);
        encoded.describe(name, kernel::sum_i64(&column));
        let mut out = Vec::with_capacity(VALUES * 8);
        group.bench_function(format!("encode/{name}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                for values in column.chunks(VECTOR_LEN) {
                    black_box(encode_i64(values, None, &mut out));
                }
            });
        });
        let mut values = VectorBuffer::<i64>::boxed();
        group.bench_function(format!("decode/{name}"), |bencher| {
            bencher.iter(|| {
                encoded.each(|header, data| {
                    decode_i64(header, data, VECTOR_LEN, &mut values).expect("the encoder wrote it");
                    black_box(&values);
                });
            });
        });
        group.bench_function(format!("decode_and_sum/{name}"), |bencher| {
            bencher.iter(|| {
                let mut sum = 0;
                encoded.each(|header, data| {
                    decode_i64(header, data, VECTOR_LEN, &mut values).expect("the encoder wrote it");
                    sum += kernel::sum_i64(values.as_slice());
                });
                sum
            });
        });
        let (header, range) = &encoded.vectors[0];
        if sum_vector_i64(header, &encoded.bytes[range.clone()], VECTOR_LEN).is_some() {
            group.bench_function(format!("sum_packed/{name}"), |bencher| {
                bencher.iter(|| {
                    let mut sum = 0;
                    encoded.each(|header, data| sum += sum_vector_i64(header, data, VECTOR_LEN).unwrap_or(0));
                    sum
                });
            });
        }
        if min_max_vector_i64(header, &encoded.bytes[range.clone()], VECTOR_LEN).is_some() {
            group.bench_function(format!("min_max_packed/{name}"), |bencher| {
                bencher.iter(|| {
                    encoded.each(|header, data| {
                        black_box(min_max_vector_i64(header, data, VECTOR_LEN));
                    });
                });
            });
            let constant = column[VALUES / 2];
            group.bench_function(format!("compare_packed/{name}"), |bencher| {
                bencher.iter(|| {
                    encoded.each(|header, data| {
                        let op = kernel::CompareOp::GreaterOrEqual;
                        black_box(compare_vector_i64(header, data, VECTOR_LEN, op, constant));
                    });
                });
            });
        }
    }
    group.finish();
}

/// Vectors of fewer values than rows of packed numbers hold, as tables of few series have them.
fn short_vectors(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("short");
    let mut level = 50.0;
    let column: Vec<i64> = generate(|random, _| (walk(random, &mut level) * 100.0) as i64);
    for len in [5, 60, 200] {
        let vectors: Vec<_> = column
            .chunks_exact(len)
            .take(1_000)
            .map(|values| {
                let mut data = Vec::new();
                (encode_i64(values, None, &mut data).0, data)
            })
            .collect();
        let bytes: usize = vectors.iter().map(|(_, data)| data.len()).sum();
        let padded: usize = vectors.iter().map(|(_, data)| data.len().next_multiple_of(64)).sum();
        let count = vectors.len() as f64;
        println!(
            "vectors of {len}: {:.1} bytes of data, {:.1} in a segment, without the header",
            bytes as f64 / count,
            padded as f64 / count
        );
        group.throughput(Throughput::Elements((vectors.len() * len) as u64));
        let mut values = VectorBuffer::<i64>::boxed();
        group.bench_function(format!("decode/{len}"), |bencher| {
            bencher.iter(|| {
                for (header, data) in &vectors {
                    decode_i64(header, data, len, &mut values).expect("the encoder wrote it");
                    black_box(&values);
                }
            });
        });
        let mut out = Vec::new();
        group.bench_function(format!("encode/{len}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                for values in column.chunks_exact(len).take(1_000) {
                    black_box(encode_i64(values, None, &mut out));
                }
            });
        });
    }
    group.finish();
}

fn floats(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("floats");
    group.throughput(Throughput::Elements(VALUES as u64));
    for (name, column) in float_columns() {
        let encoded = encode(&column, |values, out| encode_f64(values, None, out).0);
        encoded.describe(name, kernel::sum_f64(&column) as i128);
        let mut out = Vec::with_capacity(VALUES * 9);
        group.bench_function(format!("encode/{name}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                for values in column.chunks(VECTOR_LEN) {
                    black_box(encode_f64(values, None, &mut out));
                }
            });
        });
        let mut values = VectorBuffer::<f64>::boxed();
        group.bench_function(format!("decode/{name}"), |bencher| {
            bencher.iter(|| {
                encoded.each(|header, data| {
                    decode_f64(header, data, VECTOR_LEN, &mut values).expect("the encoder wrote it");
                    black_box(&values);
                });
            });
        });
    }
    group.finish();
}

fn kernels(criterion: &mut Criterion<CpuTime>) {
    println!("kernels for {}", kernel::instruction_set());
    let mut group = criterion.benchmark_group("kernels");
    group.throughput(Throughput::Elements(VECTOR_LEN as u64));
    let integers: Vec<i64> = generate(|random, _| random.below(1_000))[..VECTOR_LEN].to_vec();
    let floats: Vec<f64> = integers.iter().map(|&value| value as f64 / 10.0).collect();
    let mut mask = [0; 16];
    kernel::compare_i64(kernel::CompareOp::Less, &integers, 500, &mut mask);
    group.bench_function("sum_i64", |bencher| bencher.iter(|| kernel::sum_i64(black_box(&integers))));
    group.bench_function("sum_i64_masked", |bencher| {
        bencher.iter(|| kernel::sum_i64_masked(black_box(&integers), &mask))
    });
    group.bench_function("min_max_i64", |bencher| bencher.iter(|| kernel::min_max_i64(black_box(&integers))));
    group.bench_function("min_max_i64_masked", |bencher| {
        bencher.iter(|| kernel::min_max_i64_masked(black_box(&integers), &mask));
    });
    group.bench_function("sum_f64", |bencher| bencher.iter(|| kernel::sum_f64(black_box(&floats))));
    group
        .bench_function("sum_f64_masked", |bencher| bencher.iter(|| kernel::sum_f64_masked(black_box(&floats), &mask)));
    group.bench_function("min_max_f64", |bencher| bencher.iter(|| kernel::min_max_f64(black_box(&floats))));
    group.bench_function("min_max_f64_masked", |bencher| {
        bencher.iter(|| kernel::min_max_f64_masked(black_box(&floats), &mask));
    });
    let mut found = [0; 16];
    group.bench_function("compare_i64", |bencher| {
        bencher.iter(|| {
            kernel::compare_i64(kernel::CompareOp::GreaterOrEqual, black_box(&integers), 900, &mut found);
            found
        });
    });
    group.bench_function("compare_f64", |bencher| {
        bencher.iter(|| {
            kernel::compare_f64(kernel::CompareOp::Greater, black_box(&floats), 90.0, &mut found);
            found
        });
    });
    group.finish();
}

fn baseline(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("baseline");
    group.throughput(Throughput::Elements(VALUES as u64));
    let column: Vec<i64> = generate(|random, _| random.below(128));
    let mut copy = vec![0; VALUES];
    group.bench_function("memcpy_i64", |bencher| {
        bencher.iter(|| {
            copy.copy_from_slice(black_box(&column));
            black_box(&copy);
        });
    });
    group.bench_function("sum_i64", |bencher| {
        bencher.iter(|| black_box(&column).iter().fold(0i64, |sum, value| sum.wrapping_add(*value)));
    });
    group.finish();
}

/// Unpacks a million numbers with `fastlanes` in lanes of one type, without and with their sum. Its kernels are those
/// of the instruction set that the benchmark is compiled for.
macro_rules! fastlanes {
    ($group:expr, $column:expr, $lane:ty, $width:literal) => {{
        const WORDS: usize = VECTOR_LEN * $width / <$lane>::BITS as usize;
        let blocks: Vec<[$lane; WORDS]> = $column
            .chunks_exact(VECTOR_LEN)
            .map(|values| {
                let mut packed = [0; WORDS];
                let lanes: [$lane; VECTOR_LEN] = std::array::from_fn(|i| (values[i] & ((1 << $width) - 1)) as $lane);
                <$lane>::pack::<$width, WORDS>(&lanes, &mut packed);
                packed
            })
            .collect();
        let mut lanes = [0; VECTOR_LEN];
        let name = format!("fastlanes_{}_{}_bits", stringify!($lane), $width);
        $group.bench_function(&name, |bencher| {
            bencher.iter(|| {
                for packed in &blocks {
                    <$lane>::unpack::<$width, WORDS>(packed, &mut lanes);
                    black_box(&lanes);
                }
            });
        });
        $group.bench_function(format!("{name}_sum"), |bencher| {
            bencher.iter(|| {
                let mut sum = 0;
                for packed in &blocks {
                    <$lane>::unpack::<$width, WORDS>(packed, &mut lanes);
                    sum += lanes.iter().map(|&lane| u64::from(lane)).sum::<u64>();
                }
                sum
            });
        });
    }};
}

/// The same with `bitpacking`, whose kernels are those of the processor, for 32-bit integers only.
fn bitpacking<P: BitPacker>(group: &mut BenchmarkGroup<'_, CpuTime>, packer: P, name: &str, column: &[i64], width: u8) {
    let block_bytes = P::BLOCK_LEN * usize::from(width) / 8;
    let mut packed = vec![0; VALUES * 4];
    let mut end = 0;
    let narrow: Vec<u32> = column.iter().map(|&value| value as u32 & ((1 << width) - 1)).collect();
    for block in narrow.chunks(P::BLOCK_LEN) {
        end += packer.compress(block, &mut packed[end..], width);
    }
    let mut block = vec![0; P::BLOCK_LEN];
    group.bench_function(format!("{name}_{width}_bits"), |bencher| {
        bencher.iter(|| {
            for bytes in packed[..end].chunks(block_bytes) {
                packer.decompress(bytes, &mut block, width);
                black_box(&block);
            }
        });
    });
    group.bench_function(format!("{name}_{width}_bits_sum"), |bencher| {
        bencher.iter(|| {
            let mut sum = 0;
            for bytes in packed[..end].chunks(block_bytes) {
                packer.decompress(bytes, &mut block, width);
                sum += block.iter().map(|&value| u64::from(value)).sum::<u64>();
            }
            sum
        });
    });
    group.bench_function(format!("{name}_{width}_bits_into_i64"), |bencher| {
        let mut values = [0i64; VECTOR_LEN];
        bencher.iter(|| {
            for bytes in packed[..end].chunks(block_bytes * VECTOR_LEN / P::BLOCK_LEN) {
                for (bytes, values) in bytes.chunks(block_bytes).zip(values.chunks_mut(P::BLOCK_LEN)) {
                    packer.decompress(bytes, &mut block, width);
                    values.iter_mut().zip(&block).for_each(|(value, &number)| *value = i64::from(number));
                }
                black_box(&values);
            }
        });
    });
}

fn crates(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("crates");
    group.throughput(Throughput::Elements(VALUES as u64));
    let column: Vec<i64> = generate(|random, _| random.below(1 << 20));
    for width in [7, 12, 20] {
        bitpacking(&mut group, BitPacker4x::new(), "bitpacking_4x", &column, width);
        bitpacking(&mut group, BitPacker8x::new(), "bitpacking_8x", &column, width);
    }
    fastlanes!(group, column, u8, 7);
    fastlanes!(group, column, u16, 12);
    fastlanes!(group, column, u32, 20);
    fastlanes!(group, column, u64, 20);
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime::new());
    targets = baseline, crates, integers, short_vectors, floats, kernels
}
criterion_main!(benches);
