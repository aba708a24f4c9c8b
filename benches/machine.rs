//! The limits of the machine that the other benchmarks run on: memory bandwidth, sync latency, disk bandwidth.
//!
//! `cargo bench -p lynxstore-storage --bench machine`; `LYNX_BENCH_DIR` names the disk.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lynxstore_storage::encoding::kernel;

const MIB: usize = 1 << 20;

fn is_smoke_run() -> bool {
    !std::env::args().any(|argument| argument == "--bench") || std::env::args().any(|argument| argument == "--test")
}

fn memory(criterion: &mut Criterion) {
    println!("kernels: {}", kernel::instruction_set());
    let mut group = criterion.benchmark_group("memory");
    group.sample_size(10);
    let large = if is_smoke_run() { MIB } else { 256 * MIB };
    for (name, bytes) in [("sum of i64 from L2", 512 << 10), ("sum of i64 from DRAM", large)] {
        let values = vec![1_i64; bytes / 8];
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(name, |bencher| bencher.iter(|| kernel::sum_i64(black_box(&values))));
    }
    group.finish();
}

fn disk(criterion: &mut Criterion) {
    let base = std::env::var_os("LYNX_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(base).expect("the benchmark directory is writable");
    let create = |name: &str| {
        let path = dir.path().join(name);
        OpenOptions::new().create(true).truncate(true).read(true).write(true).open(path).expect("the disk has room")
    };
    let mut group = criterion.benchmark_group("disk");
    group.sample_size(20);

    let mut appended = create("append");
    group.bench_function("append 4 KiB and fdatasync", |bencher| {
        bencher.iter(|| {
            appended.write_all(&[7; 4096]).expect("the disk has room");
            appended.sync_data().expect("the disk works");
        });
    });
    let preallocated = create("overwrite");
    preallocated.write_all_at(&vec![0; 16 * MIB], 0).expect("the disk has room");
    preallocated.sync_all().expect("the disk works");
    let mut offset = 0;
    group.bench_function("overwrite 16 KiB in a written file and fdatasync", |bencher| {
        bencher.iter(|| {
            preallocated.write_all_at(&[7; 16 << 10], offset).expect("the disk has room");
            preallocated.sync_data().expect("the disk works");
            offset = (offset + (16 << 10)) % (16 * MIB as u64);
        });
    });

    let bytes = if is_smoke_run() { MIB } else { 256 * MIB };
    let block = vec![7_u8; bytes];
    group.sample_size(10);
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function("sequential write and fdatasync", |bencher| {
        bencher.iter(|| {
            let file: File = create("sequential");
            file.write_all_at(&block, 0).expect("the disk has room");
            file.sync_data().expect("the disk works");
        });
    });
    group.finish();
}

criterion_group!(benches, memory, disk);
criterion_main!(benches);
