"""The events of a call, and whether its answer is still wanted."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from latent_agent.model.admission import Ticket

Listener = Callable[[str, Mapping[str, Any]], None]
"""Takes an event's name (``draft``, ``recall``, ``verdict`` or ``step``) and its details."""
Report = Callable[..., None]
"""Takes an event's name, and its details by name."""

_log = logging.getLogger(__name__)


class Progress:
    """The events of a call, and whether its answer is still wanted.

    Args:
        listeners: Called with each event. One that raises is logged, and costs no answer.
        on_draft: Given the draft's tokens, one by one, as they are made.
        cancelled: Set when the answer is no longer wanted.
        place: A place in the model's queue that was taken for the call.
        run: Id of the run that the call is, by which feedback may name its answer.
    """

    def __init__(
        self,
        *listeners: Listener,
        on_draft: Callable[[int], None] | None = None,
        cancelled: threading.Event | None = None,
        place: Ticket | None = None,
        run: str | None = None,
    ) -> None:
        self._listeners = listeners
        self.place, self.run = place, run
        self._began = time.monotonic()
        self.on_draft = on_draft
        self.cancelled = cancelled or threading.Event()

    def add_listener(self, listener: Listener) -> None:
        """Call one more listener from now on."""
        self._listeners = (*self._listeners, listener)

    def report(self, event: str, /, **details: Any) -> None:
        """Call all listeners with an event; ``seconds`` counts from the call's beginning."""
        if not self._listeners:
            return
        details["seconds"] = round(time.monotonic() - self._began, 4)
        for listener in self._listeners:
            try:
                listener(event, dict(details))
            except Exception:
                _log.exception("a progress listener failed at the event %r", event)
