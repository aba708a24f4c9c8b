//! Reads a database that another process may be writing, and reads on.
//!
//! Steps of an attempt: read the manifest; pin and map its segments; read the log; look at the manifest again. When the
//! manifest changed meanwhile, what was read of the log may belong to tables that are not known yet or may have been
//! flushed and removed, so another attempt begins, from where this one came to. The number of attempts is bounded.
//!
//! Segments that were open before are not opened again, and tables whose sections did not change keep their directory.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::attachment::Shown;
use super::database_dir::DatabaseDir;
use super::log_reader::{LogReader, LogReading};
use super::open::damaged_segment;
use super::options::EngineOptions;
use super::pinned_manifest::{PinnedManifest, is_vanished_file};
use super::recovery_report::{RecoveryEvent, RecoveryReport};
use crate::error::{Error, Result};
use crate::io::Io;
use crate::manifest::{ManifestState, Reading};
use crate::segment::Segment;
use crate::snapshot::{DirectoryBudget, Version};

/// Attempts until a writer that changes the manifest all the time is given up on.
const ATTEMPTS_MAX: u32 = 64;

/// Reads on from where it stands.
#[derive(Debug)]
pub(super) struct Follower {
    io: Arc<dyn Io>,
    dir: DatabaseDir,
    manifest: PinnedManifest,
    /// The last version whose segments were opened.
    version: Option<Arc<Version>>,
    /// What the manifest said then.
    state: Arc<ManifestState>,
    /// Whether both are those of the manifest.
    is_version_current: bool,
    log: LogReader,
    directories: Arc<DirectoryBudget>,
}

impl Follower {
    /// Reads the manifest and pins what it names.
    pub(super) fn open(io: Arc<dyn Io>, dir: DatabaseDir, options: &EngineOptions) -> Result<Self> {
        let manifest = PinnedManifest::open(&io, &dir)?;
        let log = LogReader::new(Arc::clone(&io), dir.wal(), options.memtable_bytes_max);
        let state = Arc::new(ManifestState::default());
        let directories = Arc::new(DirectoryBudget::new(options.directory_bytes_max));
        Ok(Self { io, dir, manifest, version: None, state, is_version_current: false, log, directories })
    }

    pub(super) fn is_leased(&self) -> bool {
        self.manifest.is_leased()
    }

    /// What reading found that a writer would have mended.
    pub(super) fn report(&self) -> RecoveryReport {
        let mut report = self.log.report().clone();
        for damage in std::mem::take(&mut report.wal_damage) {
            report.add(RecoveryEvent::of_wal_damage(&damage));
            report.wal_damage.push(damage);
        }
        for (id, damage) in self.version.iter().flat_map(|version| &version.damaged) {
            if let Some(meta) = self.state.segments.get(id) {
                report.add(RecoveryEvent::of_damaged_segment(&damage.path, meta, &damage.reason));
            }
            report.damaged_segments.push((*id, damage.reason.clone()));
        }
        report
    }

    /// Reads up to the newest state, and makes it durable.
    ///
    /// # Errors
    /// `Changing` when the writer is always ahead; `Backpressure` when the unflushed rows do not fit into memory; `Io`;
    /// `Corruption` of the manifest. The next call begins anew.
    pub(super) fn advance(&mut self) -> Result<Shown> {
        let mut vanished = None;
        for _ in 0..ATTEMPTS_MAX {
            match self.attempt() {
                Ok(Some(shown)) => return Ok(shown),
                Ok(None) => {}
                Err(error) if is_vanished_file(&error) => {
                    self.log.start_over();
                    vanished = Some(error);
                }
                Err(error) => {
                    self.log.start_over();
                    return Err(error);
                }
            }
        }
        // A file that is missing every time is no matter of timing.
        Err(vanished.unwrap_or(Error::Changing { path: self.dir.root.clone(), attempts: ATTEMPTS_MAX }))
    }

    /// `None` when the database changed meanwhile.
    fn attempt(&mut self) -> Result<Option<Shown>> {
        match self.manifest.read_on()? {
            Reading::Unchanged => {}
            Reading::Advanced => self.is_version_current = false,
            Reading::Replaced => {
                self.is_version_current = false;
                self.version = None;
                self.log.start_over();
            }
        }
        let version = match &self.version {
            Some(version) if self.is_version_current => Arc::clone(version),
            previous => match self.open_segments(previous.as_deref())? {
                Some(version) => Arc::new(version),
                None => return Ok(None),
            },
        };
        if !self.is_version_current {
            self.version = Some(Arc::clone(&version));
            self.state = Arc::new(self.manifest.state().clone());
            self.is_version_current = true;
        }
        let reading = self.log.read_on(self.manifest.state(), &version)?;
        let is_current = self.manifest.is_current()?;
        match reading {
            LogReading::Whole => {}
            LogReading::Misfit if is_current => {}
            LogReading::Misfit | LogReading::Suspect => {
                self.log.start_over();
                return Ok(None);
            }
        }
        if !is_current {
            return Ok(None);
        }
        self.log.sync()?;
        let state = Arc::clone(&self.state);
        Ok(Some(Shown { version, state, memtables: self.log.memtables(), lsn: self.log.lsn() }))
    }

    /// Opens the segments of the manifest that are not open yet; one that cannot be opened is set aside with its tables.
    /// `None` when a file is gone and the manifest has changed.
    fn open_segments(&self, previous: Option<&Version>) -> Result<Option<Version>> {
        let state = self.manifest.state();
        let (mut segments, mut damaged) = (BTreeMap::new(), BTreeMap::new());
        for (id, meta) in &state.segments {
            if let Some(open) = previous.and_then(|previous| previous.segments.get(id)) {
                segments.insert(*id, Arc::clone(open));
                continue;
            }
            let opened = Segment::open(Arc::clone(&self.io), &self.dir.segment(*id), *id, meta.file_len)
                .and_then(|segment| segment.check_sections(meta).map(|()| segment));
            match opened {
                Ok(segment) => {
                    segments.insert(*id, Arc::new(segment));
                }
                Err(error) if is_vanished_file(&error) && !self.manifest.is_current()? => return Ok(None),
                Err(error) => {
                    tracing::error!(segment = id.0, %error, "a segment cannot be read; its tables cannot be queried");
                    damaged.insert(*id, Arc::new(damaged_segment(&self.dir, meta, &error)));
                }
            }
        }
        Ok(Some(Version::new(state, segments, damaged, previous, &self.directories)))
    }
}
