//! Wakes a background thread, or ends it. Any thread may ask; requests that come while the thread works are one.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// What a background thread waits on.
#[derive(Debug, Default)]
pub(super) struct WorkSignal {
    request: Mutex<Request>,
    changed: Condvar,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Request {
    #[default]
    Idle,
    Work,
    Stop,
}

impl WorkSignal {
    pub(super) fn request(&self) {
        let mut request = self.request.lock();
        if *request == Request::Idle {
            *request = Request::Work;
            self.changed.notify_all();
        }
    }

    pub(super) fn stop(&self) {
        *self.request.lock() = Request::Stop;
        self.changed.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.request.lock() == Request::Stop
    }

    /// Waits for a request, or for `turn` to pass; `false` when the thread must end.
    pub(super) fn wait(&self, turn: Option<Duration>) -> bool {
        let mut request = self.request.lock();
        match turn {
            Some(turn) => drop(self.changed.wait_while_for(&mut request, |request| *request == Request::Idle, turn)),
            None => self.changed.wait_while(&mut request, |request| *request == Request::Idle),
        }
        let go_on = *request != Request::Stop;
        if go_on {
            *request = Request::Idle;
        }
        go_on
    }

    /// Waits for the end of `delay` or for `stop`. A request meanwhile does not shorten the pause: what failed would fail
    /// the same way.
    pub(super) fn pause(&self, delay: Duration) {
        let mut request = self.request.lock();
        self.changed.wait_while_for(&mut request, |request| *request != Request::Stop, delay);
    }
}
