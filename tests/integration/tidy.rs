//! The repository lints itself: what rustfmt and clippy do not see.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::project_root;

/// Files above this many lines fail; what is longer for a good reason stands in `LONG_FILES` with its own bound.
const LINES_MAX: usize = 700;

/// Ratchet: a listed file may shrink, never grow past its bound.
const LONG_FILES: &[(&str, usize)] = &[];

/// Everything that may lie at the top of the tree.
const TOP_LEVEL: &[&str] = &[
    ".cargo",
    ".ci",
    ".clippy.toml",
    ".git",
    ".gitignore",
    ".rustfmt.toml",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "benches",
    "docs",
    "fuzz",
    "query",
    "src",
    "storage",
    "target",
    "testdata",
    "tests",
];

/// Format pages and the source file whose version constant each must name: page, source, constant.
const FORMAT_PAGES: &[(&str, &str, &str)] = &[
    ("docs/format/backup.md", "storage/src/engine/backup_marker.rs", "VERSION"),
    ("docs/format/lease.md", "storage/src/engine/lease.rs", "VERSION"),
    ("docs/format/manifest.md", "storage/src/manifest/log.rs", "VERSION"),
    ("docs/format/recovery.md", "storage/src/engine/recovery_history.rs", "VERSION"),
    ("docs/format/segment.md", "storage/src/segment/layout.rs", "FORMAT_VERSION"),
    ("docs/format/vector.md", "storage/src/segment/layout.rs", "FORMAT_VERSION"),
    ("docs/format/wal.md", "storage/src/wal/file.rs", "VERSION"),
];

/// All files below the folders with source and text, without build output.
fn project_files() -> Vec<PathBuf> {
    fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name();
            if name == ".git" || name == "target" {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                walk(&entry.path(), files);
            } else {
                files.push(entry.path());
            }
        }
    }
    let mut files = Vec::new();
    walk(project_root(), &mut files);
    files.sort();
    files
}

fn relative(path: &Path) -> String {
    path.strip_prefix(project_root()).unwrap().to_str().expect("file names are UTF-8").to_owned()
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|found| extensions.iter().any(|extension| found == *extension))
}

#[test]
fn no_source_file_grows_past_its_bound() {
    let mut offenders = Vec::new();
    for path in project_files().iter().filter(|path| has_extension(path, &["rs"])) {
        let name = relative(path);
        let lines = fs::read_to_string(path).unwrap().lines().count();
        let bound = LONG_FILES.iter().find(|(listed, _)| *listed == name).map_or(LINES_MAX, |(_, bound)| *bound);
        if lines > bound {
            offenders.push(format!("{name} has {lines} lines, {bound} are allowed: split it"));
        }
    }
    assert!(offenders.is_empty(), "{}", offenders.join("\n"));
}

#[test]
fn listed_long_files_are_still_long() {
    for (name, bound) in LONG_FILES {
        let lines = fs::read_to_string(project_root().join(name)).unwrap().lines().count();
        assert!(
            lines > LINES_MAX && lines <= *bound,
            "{name} has {lines} lines: take it off LONG_FILES or lower its bound"
        );
    }
}

#[test]
fn no_marker_of_unfinished_work_is_left() {
    // Put together here so that this file does not contain them.
    let markers = [["db", "g!("].concat(), ["FIX", "ME"].concat(), ["XX", "X:"].concat(), ["TO", "DO"].concat()];
    let mut offenders = Vec::new();
    for path in project_files().iter().filter(|path| has_extension(path, &["rs", "md", "toml", "sh", "slt"])) {
        let text = fs::read_to_string(path).unwrap();
        for (number, line) in text.lines().enumerate() {
            if let Some(marker) = markers.iter().find(|marker| line.contains(marker.as_str())) {
                offenders.push(format!("{}:{}: {marker}", relative(path), number + 1));
            }
        }
    }
    assert!(offenders.is_empty(), "{}", offenders.join("\n"));
}

#[test]
fn every_module_says_what_it_is_for() {
    let mut offenders = Vec::new();
    for path in project_files().iter().filter(|path| has_extension(path, &["rs"])) {
        // The tests of a module that lie next door belong to its story.
        if path.to_str().is_some_and(|path| path.ends_with("tests.rs")) {
            continue;
        }
        let text = fs::read_to_string(path).unwrap();
        // Fuzz targets start with `#![no_main]`; a module may start with attributes.
        let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!["));
        if !first.is_some_and(|line| line.starts_with("//!")) {
            offenders.push(relative(path));
        }
    }
    assert!(offenders.is_empty(), "without `//!` at the top:\n{}", offenders.join("\n"));
}

#[test]
fn links_in_documents_lead_somewhere() {
    let mut offenders = Vec::new();
    for path in project_files().iter().filter(|path| has_extension(path, &["md"])) {
        let text = fs::read_to_string(path).unwrap();
        let dir = path.parent().expect("a file has a directory");
        for target in link_targets(&text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = match target.split_once('#') {
                Some((file, anchor)) => (file, Some(anchor)),
                None => (target.as_str(), None),
            };
            let linked = if file.is_empty() { path.clone() } else { dir.join(file) };
            if !linked.exists() {
                offenders.push(format!("{}: {target}", relative(path)));
            } else if let Some(anchor) = anchor.filter(|_| has_extension(&linked, &["md"]))
                && !anchors(&fs::read_to_string(&linked).unwrap()).contains(anchor)
            {
                offenders.push(format!("{}: no heading for {target}", relative(path)));
            }
        }
    }
    assert!(offenders.is_empty(), "dead links:\n{}", offenders.join("\n"));
}

/// Targets of `[text](target)` outside code.
fn link_targets(markdown: &str) -> Vec<String> {
    let mut targets = Vec::new();
    let mut in_code = false;
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let mut rest = line;
        while let Some(start) = rest.find("](") {
            rest = &rest[start + 2..];
            if let Some(end) = rest.find(')') {
                targets.push(rest[..end].to_owned());
                rest = &rest[end..];
            }
        }
    }
    targets
}

/// Anchors that headings get: lower case, spaces as hyphens, punctuation dropped.
fn anchors(markdown: &str) -> BTreeSet<String> {
    let headings = markdown.lines().filter(|line| line.starts_with('#'));
    let texts = headings.map(|line| line.trim_start_matches('#').trim());
    let slug = |text: &str| -> String {
        let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
    };
    texts.map(slug).collect()
}

#[test]
fn links_are_found_outside_code_only() {
    let text = "see [a](docs/a.md) and [b](b.md#two)\n```\n[c](c.md)\n```\n";
    assert_eq!(link_targets(text), ["docs/a.md", "b.md#two"]);
    assert!(anchors("# One thing: two\n").contains("one-thing-two"));
}

#[test]
fn format_pages_name_the_current_version() {
    for (page, source, constant) in FORMAT_PAGES {
        let source_text = fs::read_to_string(project_root().join(source)).unwrap();
        let value = constant_value(&source_text, constant).unwrap_or_else(|| panic!("{source} defines no {constant}"));
        let page_text = fs::read_to_string(project_root().join(page)).unwrap();
        let heading = page_text.lines().next().unwrap_or_default();
        assert!(heading.ends_with(&format!(", version {value}")), "{page}: '{heading}', but {constant} is {value}");
    }
    let listed: BTreeSet<_> = FORMAT_PAGES.iter().map(|(page, _, _)| (*page).to_owned()).collect();
    let pages: BTreeSet<_> =
        project_files().iter().map(|path| relative(path)).filter(|name| name.starts_with("docs/format/")).collect();
    assert_eq!(pages, listed, "every page of docs/format stands in FORMAT_PAGES");
}

/// The value of `const NAME: type = VALUE;`.
fn constant_value<'a>(source: &'a str, name: &str) -> Option<&'a str> {
    let line = source.lines().find(|line| line.contains(&format!("const {name}:")))?;
    Some(line.split_once('=')?.1.trim().trim_end_matches(';'))
}

#[test]
fn the_architecture_page_names_every_source_folder() {
    let page = fs::read_to_string(project_root().join("docs/architecture.md")).unwrap();
    let mut missing = Vec::new();
    for root in ["storage/src", "query/src", "src"] {
        for entry in fs::read_dir(project_root().join(root)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().expect("folder names are UTF-8");
            if entry.file_type().unwrap().is_dir() && name != "bin" && !page.contains(&format!("`src/{name}/`")) {
                missing.push(format!("{root}/{name}"));
            }
        }
    }
    assert!(missing.is_empty(), "docs/architecture.md does not say what these are for: {missing:?}");
}

#[test]
fn the_top_of_the_tree_holds_what_the_design_lists() {
    let found: BTreeSet<_> = fs::read_dir(project_root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().expect("file names are UTF-8"))
        .collect();
    let allowed: BTreeSet<_> = TOP_LEVEL.iter().map(|name| (*name).to_owned()).collect();
    let extra: Vec<_> = found.difference(&allowed).collect();
    assert!(extra.is_empty(), "not part of the tree: {extra:?}");
}
