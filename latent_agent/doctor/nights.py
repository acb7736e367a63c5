"""Whether the nights of a shelf come to something."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import takewhile

from latent_agent.doctor.finding import Finding
from latent_agent.nights.gate import REFUSED
from latent_memory import LatentMemory, Shelf
from latent_memory.priors.nights import FAILED, KILLED, UNJUDGED, NightInfo, count_new, list_nights

_MANY_NEW = 400  # traces; the paper's nights come every 200
_LONG_AGO = timedelta(days=7)
_TROUBLE = {FAILED: 1, UNJUDGED: 1, KILLED: 1, REFUSED: 3}  # so often in a row it is no chance
_REMEDIES = {
    FAILED: "fix that, then let one run: latent-agent consolidate",
    UNJUDGED: "name the judge: latent-agent consolidate --reward module:attribute; a memory that "
    "stores no text cannot have nights, so run none",
    KILLED: "see whether memory or a time limit ended it, then let one run: latent-agent "
    "consolidate",
    REFUSED: "compare what it was judged by: latent-agent prior list, then prior show VERSION; "
    "ask more varied questions, or let nights come more seldom with a larger --if-new",
}


def nights_of(memory: LatentMemory, shelf: Shelf) -> Finding:
    """Tell how the last nights of a shelf went, and whether one is overdue."""
    about = f"nights of {shelf.namespace}"
    found, new = list_nights(memory.database, shelf=shelf), count_new(memory.database, shelf)
    last = found[0] if found else None  # the newest comes first
    if last is None:
        text, verdict = "none yet", None
    else:
        verdict = _verdict(last, running=memory.database.night_running())
        text = f"the last {last.started:%Y-%m-%d %H:%M} UTC: {verdict}"
    text = f"{text}; {new:,} new traces"
    if last is not None and verdict in _TROUBLE:
        count = _in_a_row(found, verdict)
        if count >= _TROUBLE[verdict]:
            reason = last.result.reason.rstrip(".") if last.result else "it never ended"
            text = f"{text}. {count} in a row: {reason}"
            return Finding(about=about, state="warn", text=text, remedy=_REMEDIES[verdict])
    late = last is None or datetime.now(UTC) - last.started > _LONG_AGO
    if late and new >= _MANY_NEW:
        remedy = "let one run: latent-agent consolidate; see examples/ for cron and systemd"
        return Finding(about=about, state="warn", text=text, remedy=remedy)
    return Finding(about=about, state="ok", text=text)


def _verdict(night: NightInfo, *, running: bool) -> str:
    if night.result is not None:
        return night.result.verdict
    return "running" if running else KILLED


def _in_a_row(nights: Sequence[NightInfo], verdict: str) -> int:
    """Count the newest nights that came to a verdict; the first may not be marked as killed yet."""
    return sum(1 for _ in takewhile(lambda n: _verdict(n, running=False) == verdict, nights))
