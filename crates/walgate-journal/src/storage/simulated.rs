//! A disk in memory that does on demand what real disks do: it crashes, tears, reorders, fills up,
//! fails, lies after a failed fsync, and rots. Deterministic: the same seed and the same calls give
//! the same disk.
//!
//! # What a crash leaves
//!
//! As little as POSIX promises. Of each page of 4 KiB that was written since the last successful
//! [`sync_data`](StoredFile::sync_data): the new bytes, the old ones, or a mixture; whatever the
//! other pages do. Of a length that changed: the old, the new, or one between. Of the names that
//! were made, changed or removed since the last successful [`sync_folder`](Storage::sync_folder):
//! any of these changes, whatever the others do. A file that was synced but whose name was not may
//! be gone.
//!
//! # A sync that fails
//!
//! Is like that of Linux: what it could not write is clean from then on. Any part of it may be on
//! the disk; readers see the new bytes, or the old ones once the page has left the cache; the next
//! sync succeeds and writes nothing of it.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fastrand::Rng;

use super::{Space, Storage, StoredFile};

mod faults;
mod image;
mod names;
#[cfg(test)]
mod tests;

use faults::Faults;
pub use faults::{Call, Fault, When};
use image::Image;
use names::Names;

/// A disk with one folder. Clones are handles on the same disk.
#[derive(Debug, Clone)]
pub struct SimulatedDisk {
    disk: Arc<Mutex<Disk>>,
    /// The boot that this handle belongs to.
    boot: u64,
}

type FileId = u64;

#[derive(Debug)]
struct Disk {
    /// Counts crashes; whatever was open before a crash is dead.
    boot: u64,
    names: Names,
    files: BTreeMap<FileId, Image>,
    next_file: FileId,
    capacity: u64,
    read_only: bool,
    vanished: bool,
    faults: Faults,
    random: Rng,
    counts: BTreeMap<Call, u64>,
}

/// Room enough for any test that does not set it.
const CAPACITY_BYTES: u64 = 1 << 40;

impl SimulatedDisk {
    /// An empty disk; everything that happens by chance follows from the seed.
    pub fn new(seed: u64) -> Self {
        let disk = Disk {
            boot: 0,
            names: Names::default(),
            files: BTreeMap::new(),
            next_file: 0,
            capacity: CAPACITY_BYTES,
            read_only: false,
            vanished: false,
            faults: Faults::default(),
            random: Rng::with_seed(seed),
            counts: BTreeMap::new(),
        };
        Self {
            disk: Arc::new(Mutex::new(disk)),
            boot: 0,
        }
    }

    /// The power fails and comes back. This and all earlier handles and open files are dead from
    /// here on; the disk lives on in the handle that is returned.
    #[must_use]
    pub fn crash(&self) -> Self {
        self.restart(Disk::crash)
    }

    /// The process is killed and another starts: it sees everything that was written, synced or
    /// not. This and all earlier handles and open files are dead from here on.
    #[must_use]
    pub fn kill(&self) -> Self {
        self.restart(Disk::forget_removed)
    }

    fn restart(&self, what: impl FnOnce(&mut Disk)) -> Self {
        let mut disk = self.lock();
        what(&mut disk);
        disk.boot += 1;
        Self {
            disk: Arc::clone(&self.disk),
            boot: disk.boot,
        }
    }

    /// Lets calls fail from here on.
    pub fn fail(&self, fault: Fault) {
        self.lock().faults.add(fault);
    }

    /// Ends all faults of [`fail`](Self::fail).
    pub fn heal(&self) {
        self.lock().faults = Faults::default();
    }

    /// How many bytes the disk has room for; what is used already stays.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock().capacity = bytes;
    }

    /// Whether the file system is mounted read-only, as it is after an error of the disk: nothing
    /// can be changed, and a sync of what was written before fails.
    pub fn set_read_only(&self, read_only: bool) {
        self.lock().read_only = read_only;
    }

    /// Whether the folder is gone (unmounted, removed). What is open can be read and written, but
    /// not synced. It comes back as it was.
    pub fn set_vanished(&self, vanished: bool) {
        self.lock().vanished = vanished;
    }

    /// Bytes that the files take.
    pub fn used(&self) -> u64 {
        self.lock().used()
    }

    /// How often something was called, with the calls that failed.
    pub fn count(&self, call: Call) -> u64 {
        self.lock().counts.get(&call).copied().unwrap_or_default()
    }

    /// What a file holds now, as a reader sees it; nothing when it is not there.
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let disk = self.lock();
        let image = disk.files.get(&disk.names.get(name)?)?;
        Some(image.contents().to_vec())
    }

    /// The disk rots: flips one bit of the file, on the disk and in the cache. Returns whether there
    /// is such a byte.
    pub fn flip(&self, name: &str, offset: u64, bit: u8) -> bool {
        self.rot(name, |image| image.flip(offset, bit))
    }

    /// Somebody writes into the file, durably. Returns whether the file is there.
    pub fn overwrite(&self, name: &str, offset: u64, bytes: &[u8]) -> bool {
        self.rot(name, |image| {
            image.write(offset, bytes);
            image.sync();
            true
        })
    }

    /// Somebody cuts the file, durably. Returns whether the file is there.
    pub fn cut(&self, name: &str, len: u64) -> bool {
        self.rot(name, |image| {
            image.truncate(len);
            image.sync();
            true
        })
    }

    /// Somebody removes the file, durably; who has it open reads on. Returns whether it was there.
    pub fn lose(&self, name: &str) -> bool {
        self.lock().names.lose(name)
    }

    fn rot(&self, name: &str, work: impl FnOnce(&mut Image) -> bool) -> bool {
        let mut disk = self.lock();
        let Some(id) = disk.names.get(name) else {
            return false;
        };
        disk.files.get_mut(&id).is_some_and(work)
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk for one call: counts it, and lets it fail when it should.
    fn call(&self, call: Call) -> io::Result<MutexGuard<'_, Disk>> {
        enter(&self.disk, self.boot, call)
    }

    fn file(&self, id: FileId) -> Arc<dyn StoredFile> {
        Arc::new(SimulatedFile {
            disk: Arc::clone(&self.disk),
            boot: self.boot,
            id,
        })
    }
}

fn enter(disk: &Mutex<Disk>, boot: u64, call: Call) -> io::Result<MutexGuard<'_, Disk>> {
    let mut disk = disk.lock().unwrap_or_else(PoisonError::into_inner);
    if disk.boot != boot {
        return Err(io::Error::other("the machine has restarted since"));
    }
    *disk.counts.entry(call).or_default() += 1;
    if disk.vanished && !call.is_of_open_file() {
        return Err(ErrorKind::NotFound.into());
    }
    if disk.read_only && call.is_change() {
        return Err(ErrorKind::ReadOnlyFilesystem.into());
    }
    // These leave something behind when they fail.
    if !matches!(call, Call::Write | Call::Sync | Call::SyncFolder)
        && let Some(error) = disk.strike(call)
    {
        return Err(error);
    }
    Ok(disk)
}

impl Disk {
    fn strike(&mut self, call: Call) -> Option<io::Error> {
        self.faults.strike(call, &mut self.random)
    }

    fn used(&self) -> u64 {
        let named = self.names.all().filter_map(|id| self.files.get(&id));
        named.map(Image::allocated).sum()
    }

    fn crash(&mut self) {
        self.names.crash(&mut self.random);
        for image in self.files.values_mut() {
            image.crash(&mut self.random);
        }
        self.forget_removed();
    }

    /// Nobody finds a file without a name once everything is closed.
    fn forget_removed(&mut self) {
        let Self { names, files, .. } = self;
        files.retain(|id, _| names.may_come_back(*id));
    }

    fn image(&mut self, id: FileId) -> io::Result<&mut Image> {
        // A file that lost its name for good in a crash has no open handles either.
        self.files
            .get_mut(&id)
            .ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Storage for SimulatedDisk {
    fn path(&self) -> &Path {
        Path::new("/simulated")
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.call(Call::List)?.names.list())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StoredFile>> {
        let mut disk = self.call(Call::Create)?;
        if disk.names.get(name).is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let id = disk.next_file;
        disk.next_file += 1;
        disk.files.insert(id, Image::default());
        disk.names.create(name, id);
        Ok(self.file(id))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StoredFile>> {
        let disk = self.call(Call::Open)?;
        let id = disk.names.get(name).ok_or(ErrorKind::NotFound)?;
        Ok(self.file(id))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let renamed = self.call(Call::Rename)?.names.rename(from, to);
        match renamed {
            true => Ok(()),
            false => Err(ErrorKind::NotFound.into()),
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = self.call(Call::Remove)?.names.remove(name);
        match removed {
            true => Ok(()),
            false => Err(ErrorKind::NotFound.into()),
        }
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut disk = self.call(Call::SyncFolder)?;
        let mut failed = disk.strike(Call::SyncFolder);
        if disk.read_only && disk.names.is_dirty() {
            failed.get_or_insert_with(|| ErrorKind::ReadOnlyFilesystem.into());
        }
        if let Some(error) = failed {
            return Err(error);
        }
        disk.names.sync();
        Ok(())
    }

    fn space(&self) -> io::Result<Space> {
        let disk = self.call(Call::Space)?;
        Ok(Space {
            total: disk.capacity,
            available: disk.capacity.saturating_sub(disk.used()),
        })
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: Arc<Mutex<Disk>>,
    boot: u64,
    id: FileId,
}

impl SimulatedFile {
    fn call(&self, call: Call) -> io::Result<MutexGuard<'_, Disk>> {
        enter(&self.disk, self.boot, call)
    }
}

impl StoredFile for SimulatedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(self.call(Call::Read)?.image(self.id)?.read(buffer, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut disk = self.call(Call::Write)?;
        let mut bytes = bytes;
        let mut failed = disk.strike(Call::Write);
        if failed.is_some() {
            // Nobody knows how far it came.
            let part = disk.random.usize(0..=bytes.len());
            bytes = bytes.get(..part).unwrap_or_default();
        }
        let room = disk.capacity.saturating_sub(disk.used());
        let image = disk.image(self.id)?;
        let fits = image.fits(offset, bytes.len() as u64, room);
        if let Some(part) = bytes.get(..usize::try_from(fits).unwrap_or(usize::MAX)) {
            if part.len() < bytes.len() {
                failed.get_or_insert_with(|| ErrorKind::StorageFull.into());
            }
            bytes = part;
        }
        image.write(offset, bytes);
        let Disk { files, random, .. } = &mut *disk;
        if let Some(image) = files.get_mut(&self.id) {
            image.write_back(random);
        }
        failed.map_or(Ok(()), Err)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.call(Call::Sync)?;
        let mut failed = disk.strike(Call::Sync);
        if disk.vanished || !disk.names.has(self.id) {
            failed.get_or_insert_with(|| ErrorKind::NotFound.into());
        }
        let read_only = disk.read_only;
        let Disk { files, random, .. } = &mut *disk;
        let image = files.get_mut(&self.id).ok_or(ErrorKind::NotFound)?;
        if read_only && image.is_dirty() {
            failed.get_or_insert_with(|| ErrorKind::ReadOnlyFilesystem.into());
        }
        match failed {
            Some(error) => {
                image.drop_dirty(random);
                Err(error)
            }
            None => {
                image.sync();
                Ok(())
            }
        }
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.call(Call::Truncate)?.image(self.id)?.truncate(len);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let mut disk = self.call(Call::Len)?;
        Ok(disk.image(self.id)?.contents().len() as u64)
    }
}
