"""Cron expressions, as crontab reads them."""

import re
from typing import Any

from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger

from latent_agent.errors import SettingError

_FIELDS = ("minute", "hour", "day", "month", "day_of_week")
_NAMES = ("minute", "hour", "day of month", "month", "day of week")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_RANGE = re.compile(r"(?:(\d)(?:-(\d))?|\*)(?:/(\d+))?$")


def cron_trigger(expression: str) -> Any:
    """Return what fires at the times of a cron expression, in local time.

    Raises:
        SettingError: If it is none; says which field is wrong.
    """
    parts = expression.split()
    if len(parts) != len(_FIELDS):
        raise SettingError(
            f"a schedule must have the five fields {', '.join(_NAMES)}, got {expression!r}; for "
            "example '0 3 * * *' for three o'clock each night"
        )
    for field, name, part in zip(_FIELDS, _NAMES, parts, strict=True):
        _check(field, name, part, expression)
    times: dict[str, str] = dict(zip(_FIELDS, parts, strict=True))
    times["day_of_week"] = _weekdays(times["day_of_week"])
    if "*" in (times["day"][0], parts[-1][0]):
        return CronTrigger(**times)
    # Where both kinds of day are named, crontab takes either.
    either = ({**times, "day": "*"}, {**times, "day_of_week": "*"})
    return OrTrigger([CronTrigger(**one) for one in either])


def _check(field: str, name: str, part: str, expression: str) -> None:
    try:
        CronTrigger(**{field: _weekdays(part) if field == "day_of_week" else part})
    except (ValueError, IndexError) as error:
        raise SettingError(
            f"a schedule's {name} must be as in crontab, got {part!r} in {expression!r} ({error}); "
            "for example '30 3 * * 1-5' for half past three on weekdays"
        ) from error


def _weekdays(field: str) -> str:
    """Write days by name: APScheduler counts them from Monday, crontab from Sunday."""
    return ",".join(_weekday(part) for part in field.split(","))


def _weekday(part: str) -> str:
    found = _RANGE.match(part)
    if found is None or part == "*":
        return part
    first, last, step = found.groups()
    if first is None:
        first, last = "0", "6"
    if int(first) > 7 or int(last or first) > 7:
        raise ValueError("days of the week are 0 to 7, and Sunday is both")
    days = range(int(first), int(last or first) + 1, int(step or 1))
    return ",".join(_DAYS[day % 7] for day in days) or part
