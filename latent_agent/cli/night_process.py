"""A night as a process of the system: its signals, its priority, its exit codes."""

import os
import signal
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent_agent.nights.job import NightReport

BUSY, STOPPED, UNJUDGED, REFUSED, IDLE = 3, 4, 5, 6, 7
_NICE = 10
_THREADS, _SESSION = Path("/proc/self/task"), Path("/proc/self/autogroup")


def exit_code_of(reports: "Sequence[NightReport]", *, detailed: bool) -> int:
    """Return the code of nights that came to their end.

    Args:
        reports: Of all of them.
        detailed: Whether nights that published nothing have codes of their own.
    """
    verdicts = {report.verdict for report in reports}
    if "unjudged" in verdicts:
        return UNJUDGED
    if not detailed or verdicts & {"published", "planned"}:
        return 0
    return REFUSED if "refused" in verdicts else IDLE


@contextmanager
def stopped_by_signals() -> Generator[threading.Event]:
    """Set an event at SIGTERM and SIGINT; a second signal has its usual effect."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def on_signal(_number: int, _frame: object) -> None:
        stop.set()
        restore()

    for number in before:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        restore()


@contextmanager
def low_priority(wanted: bool = True) -> Generator[None]:
    """Let other programs go first within: nice 10, unless it is higher already.

    All threads are meant, those that libraries have begun too. Linux weighs sessions before
    programs, so a session that this process leads, as under cron, gets the same. Where a system
    has no nice (Windows), nothing changes.
    """
    if not wanted or not hasattr(os, "setpriority"):
        yield
        return
    before = os.getpriority(os.PRIO_PROCESS, 0)
    _be_nice(max(before, _NICE))
    try:
        yield
    finally:
        if before < _NICE:
            _be_nice(before)


def _be_nice(niceness: int) -> None:
    try:
        threads = [int(one.name) for one in _THREADS.iterdir()] if _THREADS.is_dir() else [0]
        for thread in threads:
            os.setpriority(os.PRIO_PROCESS, thread, niceness)
        if os.getsid(0) == os.getpid() and _SESSION.is_file():
            _SESSION.write_text(str(niceness))
    except OSError:
        return  # no night fails for its priority, which only some may raise again
