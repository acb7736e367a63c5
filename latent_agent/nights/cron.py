"""Cron expressions, as crontab reads them."""

import os
import re
from datetime import UTC, tzinfo
from typing import Any

from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger

from latent_agent.errors import SettingError

_FIELDS = ("minute", "hour", "day", "month", "day_of_week")
_NAMES = ("minute", "hour", "day of month", "month", "day of week")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NUMBERS = {
    "month": {name: number for number, name in enumerate(_MONTHS, 1)},
    "day_of_week": {name: number for number, name in enumerate(_DAYS)},
}
_PART = re.compile(r"(?:(\w+)(?:-(\w+))?|\*)(/\d+)?", re.ASCII)


def cron_trigger(expression: str) -> Any:
    """Return the trigger of a cron expression, in local time.

    Raises:
        SettingError: If the expression is invalid; names the field that is wrong.
    """
    parts = expression.split()
    if len(parts) != len(_FIELDS):
        raise SettingError(
            f"a schedule must have the five fields {', '.join(_NAMES)}, got {expression!r}; for "
            "example '0 3 * * *' for three o'clock each night"
        )
    times: dict[str, Any] = {"timezone": _local_zone()}
    for field, name, part in zip(_FIELDS, _NAMES, parts, strict=True):
        times[field] = _checked(field, name, part, expression)
    if "*" in (times["day"][0], parts[-1][0]):
        return CronTrigger(**times)
    # Where both kinds of day are named, crontab takes either.
    either = ({**times, "day": "*"}, {**times, "day_of_week": "*"})
    return OrTrigger([CronTrigger(**one) for one in either])


def _local_zone() -> tzinfo | None:
    try:
        return CronTrigger(minute="0").timezone
    except (LookupError, ValueError, OSError) as error:
        raise SettingError(
            "a schedule's time zone must be known by name, got "
            f"TZ={os.environ.get('TZ')!r} ({' '.join(str(error.args[-1]).split())}); set a name, "
            "for example TZ=Europe/Paris, or let cron itself start each night"
        ) from error


def _checked(field: str, name: str, part: str, expression: str) -> str:
    """Return a field as APScheduler reads it, which takes what begins well: mon of MON#1."""
    try:
        written = ",".join(_in_numbers(field, one) for one in part.split(","))
        CronTrigger(**{field: written}, timezone=UTC)
    except (ValueError, IndexError) as error:
        raise SettingError(
            f"a schedule's {name} must be as in crontab, got {part!r} in {expression!r} ({error}); "
            "for example '30 3 * * 1-5' for half past three on weekdays"
        ) from error
    return written


def _in_numbers(field: str, part: str) -> str:
    """Write names as numbers, and days of the week by name."""
    match = _PART.fullmatch(part)
    if match is None:
        raise ValueError(f"{part!r} is no number, name, range or step")
    first, last, step = match.groups()
    ends = [_number(field, end) for end in (first, last) if end]
    if field == "day_of_week" and (ends or step):
        if len(ends) < 2:
            ends = [ends[0], 6 if step else ends[0]] if ends else [0, 6]
        elif ends[0] and str(last).lower() == "sun":
            ends[1] = 7
        return _weekdays(*ends, step=int((step or "/1")[1:]))
    return ("-".join(map(str, ends)) or "*") + (step or "")


def _number(field: str, text: str) -> int:
    number = int(text) if text.isdecimal() else _NUMBERS.get(field, {}).get(text.lower())
    if number is None:
        raise ValueError(f"{text!r} is neither a number nor a name of a {field.replace('_', ' ')}")
    return number


def _weekdays(first: int, last: int, step: int) -> str:
    """Name the days: APScheduler counts them from Monday, crontab from Sunday."""
    if not first <= last <= 7:
        raise ValueError("days of the week are 0 to 7 in rising order, and Sunday is both")
    return ",".join(_DAYS[day % 7] for day in range(first, last + 1, step))
