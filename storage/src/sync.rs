//! Locks, atomics and shared pointers of the parts whose interleavings are checked.
//!
//! These parts are `wal::group_commit`, `engine::publication` and `segment::pin`: state machines without I/O. Ordinarily
//! the types are those of `parking_lot` and `std`. In a test build with `--cfg loom` they are those of loom, which runs a
//! model once for every order in which its threads can take turns, so the models drive the code itself and not a copy.
//! Everything else uses `parking_lot` and `std` as they are.

#[cfg(not(all(loom, test)))]
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
#[cfg(not(all(loom, test)))]
pub(crate) use std::sync::{Arc, atomic};

#[cfg(all(loom, test))]
pub(crate) use checked::{Condvar, Mutex, MutexGuard, RwLock, check_model};
#[cfg(all(loom, test))]
pub(crate) use loom::sync::{Arc, atomic};

/// Loom's types in the shape of `parking_lot`: no poisoning, and a wait that takes its guard by reference.
#[cfg(all(loom, test))]
mod checked {
    use std::ops::{Deref, DerefMut};

    use loom::sync;

    /// Runs a model in every order of its threads in which at most this many of them are interrupted; `LOOM_MAX_PREEMPTIONS`
    /// overrides it. Faults that need more than two interruptions are rare, and each further one multiplies the time.
    pub(crate) fn check_model(preemptions_max: usize, model: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = builder.preemption_bound.or(Some(preemptions_max));
        builder.check(model);
    }

    /// A panic ends the model, so nobody meets the poison that it leaves.
    const NO_POISON: &str = "a model ends with its first panic";

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(sync::Mutex<T>);

    #[derive(Debug)]
    pub(crate) struct MutexGuard<'a, T> {
        mutex: &'a Mutex<T>,
        /// `None` while the lock is given up.
        held: Option<sync::MutexGuard<'a, T>>,
    }

    #[derive(Debug, Default)]
    pub(crate) struct Condvar(sync::Condvar);

    #[derive(Debug, Default)]
    pub(crate) struct RwLock<T>(sync::RwLock<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard { mutex: self, held: Some(self.0.lock().expect(NO_POISON)) }
        }
    }

    impl<T> MutexGuard<'_, T> {
        pub(crate) fn unlocked<R>(guard: &mut Self, work: impl FnOnce() -> R) -> R {
            guard.held = None;
            let done = work();
            guard.held = Some(guard.mutex.0.lock().expect(NO_POISON));
            done
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.held.as_ref().expect("nobody looks through a lock that is given up")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.held.as_mut().expect("nobody looks through a lock that is given up")
        }
    }

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self::default()
        }

        pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            let held = guard.held.take().expect("a waiter holds the lock");
            guard.held = Some(self.0.wait(held).expect(NO_POISON));
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    impl<T> RwLock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(sync::RwLock::new(value))
        }

        pub(crate) fn read(&self) -> sync::RwLockReadGuard<'_, T> {
            self.0.read().expect(NO_POISON)
        }

        pub(crate) fn write(&self) -> sync::RwLockWriteGuard<'_, T> {
            self.0.write().expect(NO_POISON)
        }
    }
}
