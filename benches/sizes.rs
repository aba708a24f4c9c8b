//! Bytes per value of real metrics: vectors of this store beside Gorilla, Parquet with ZSTD, and pco.
//!
//! Run with `LYNX_NAB_DIR=<dir> cargo bench --no-default-features --bench sizes`, where the directory holds the files of
//! the Numenta Anomaly Benchmark (`data/` of github.com/numenta/NAB): a folder per kind, CSV files of `timestamp,value`.
//! Only the values count, as `f64`, a series per file. Without the directory it says so and ends.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch};
use lynxstore_storage::encoding::{VECTOR_LEN, VectorHeader, decode_f64, encode_f64};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

/// Bytes of the same values in each form.
#[derive(Default)]
struct Sizes {
    values: usize,
    lynxstore: usize,
    gorilla: usize,
    parquet: usize,
    pco: usize,
}

fn main() {
    let Some(dir) = std::env::var_os("LYNX_NAB_DIR").map(PathBuf::from).filter(|dir| dir.is_dir()) else {
        println!("LYNX_NAB_DIR names no directory of the Numenta Anomaly Benchmark: nothing is measured");
        return;
    };
    let mut folders: BTreeMap<String, Sizes> = BTreeMap::new();
    for file in csv_files(&dir) {
        let values = read_values(&file);
        let folder = file.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        for name in [folder, "total".to_owned()] {
            let sizes = folders.entry(name).or_default();
            sizes.values += values.len();
            sizes.lynxstore += lynxstore_bytes(&values);
            sizes.gorilla += gorilla_bits(&values).div_ceil(8);
            sizes.parquet += parquet_bytes(&values);
            sizes.pco += pco_bytes(&values);
        }
    }
    println!(
        "| bytes per value | values | this store | Gorilla | Parquet, ZSTD | pco |\n| --- | --- | --- | --- | --- | --- |"
    );
    for (name, sizes) in &folders {
        let per_value = |bytes: usize| bytes as f64 / sizes.values as f64;
        println!(
            "| {name} | {} | {:.2} | {:.2} | {:.2} | {:.2} |",
            sizes.values,
            per_value(sizes.lynxstore),
            per_value(sizes.gorilla),
            per_value(sizes.parquet),
            per_value(sizes.pco)
        );
    }
}

/// The CSV files of all folders below `dir`, in order.
fn csv_files(dir: &Path) -> Vec<PathBuf> {
    let entries = |dir: &Path| -> Vec<PathBuf> {
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let mut files: Vec<_> = entries(dir).iter().flat_map(|folder| entries(folder)).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "csv"));
    files.sort();
    files
}

fn read_values(file: &Path) -> Vec<f64> {
    let text = fs::read_to_string(file).expect("the file is readable");
    let value = |line: &str| line.trim_end().rsplit_once(',')?.1.parse().ok();
    text.lines().filter_map(value).collect()
}

/// Vectors with their headers; each is decoded to see that nothing is lost.
fn lynxstore_bytes(values: &[f64]) -> usize {
    let vector_bytes = |values: &[f64]| {
        let (mut data, mut decoded) = (Vec::new(), [0.0; VECTOR_LEN]);
        let (header, _) = encode_f64(values, None, &mut data);
        decode_f64(&header, &data, values.len(), &mut decoded).expect("the encoder wrote it");
        assert!(values.iter().zip(&decoded).all(|(value, decoded)| value.to_bits() == decoded.to_bits()));
        data.len() + VectorHeader::BYTES
    };
    values.chunks(VECTOR_LEN).map(vector_bytes).sum()
}

/// The length of the values as the Gorilla paper writes them: a bit for an equal value, else two bits and the part of
/// the difference that is not zero, with its place (5 and 6 bits) when it does not lie within that of the value before.
fn gorilla_bits(values: &[f64]) -> usize {
    let mut bits = 64;
    let mut window = None;
    for pair in values.windows(2) {
        let difference = pair[0].to_bits() ^ pair[1].to_bits();
        let (leading, trailing) = (difference.leading_zeros().min(31), difference.trailing_zeros());
        bits += match window {
            _ if difference == 0 => 1,
            Some((before, behind)) if leading >= before && trailing >= behind => 2 + 64 - (before + behind) as usize,
            _ => {
                window = Some((leading, trailing));
                2 + 5 + 6 + 64 - (leading + trailing) as usize
            }
        };
    }
    bits
}

/// The column chunk, without the footer.
fn parquet_bytes(values: &[f64]) -> usize {
    let column: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
    let batch = RecordBatch::try_from_iter([("value", column)]).expect("one column is a batch");
    let level = ZstdLevel::try_new(3).expect("the level is known");
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).expect("the schema is simple");
    writer.write(&batch).expect("memory takes all");
    let metadata = writer.close().expect("memory takes all");
    metadata.row_groups().iter().map(|group| group.compressed_size() as usize).sum()
}

fn pco_bytes(values: &[f64]) -> usize {
    pco::standalone::simple_compress(values, &pco::ChunkConfig::default()).expect("floats are supported").len()
}
