//! Telling the service manager how it goes (`sd_notify`); without one, nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;

pub(crate) fn ready() {
    let _ = sd_notify::notify(&[NotifyState::Ready]);
}

pub(crate) fn stopping() {
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
}

/// Feeds the watchdog; called by the dispatcher itself, so that a dispatcher that hangs starves it.
pub(crate) fn alive() {
    let _ = sd_notify::notify(&[NotifyState::Watchdog]);
}

/// Returns how often the watchdog wants to hear, if there is one.
pub(crate) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}
