"""A process that believes it sits at a terminal."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from fcntl import ioctl
from pathlib import Path
from struct import pack
from termios import TIOCSCTTY, TIOCSWINSZ
from typing import Self

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|[>=()][A-Z0-9]?)")


def _at_terminal() -> None:
    """Let Ctrl-C reach the process; a shell's background job would have it ignored."""
    ioctl(0, TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)


class AtTerminal:
    """`latent-agent` at a terminal of 80 columns and 24 lines."""

    def __init__(self, *words: str, cwd: Path, env: Mapping[str, str] | None = None) -> None:
        self._ours, theirs = pty.openpty()
        ioctl(theirs, TIOCSWINSZ, pack("HHHH", 24, 80, 0, 0))
        self.seen = ""
        """All that was written, without what moves the cursor or colours."""
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from latent_agent.cli import main; main()", *words],
            stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", **(env or {})},
            preexec_fn=_at_terminal,
        )  # fmt: skip
        os.close(theirs)

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def wait_for(self, text: str, seconds: float = 60) -> str:
        """Wait until something is shown, from what was shown after the last that was waited for."""
        until = time.monotonic() + seconds
        while text not in self.seen:
            assert self._read(max(0.0, until - time.monotonic())), f"no {text!r} in {self.seen!r}"
        before, _, self.seen = self.seen.partition(text)
        return before

    def _read(self, seconds: float) -> bool:
        if not select.select([self._ours], [], [], seconds)[0]:
            return False
        try:
            raw = os.read(self._ours, 65536)
        except OSError:  # the process has ended
            return False
        if b"\x1b[6n" in raw:  # it asks where the cursor is
            os.write(self._ours, b"\x1b[1;1R")
        self.seen += _ESCAPES.sub("", raw.decode("utf-8", "replace"))
        return bool(raw)

    def ended(self, seconds: float = 30) -> int:
        """Wait for the end; return the exit code."""
        while self._read(0.1 if self.process.poll() is not None else seconds):
            pass
        return self.process.wait(seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
