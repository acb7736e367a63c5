"""How a night searches: as the newest traces of its shelf were, unless it is given otherwise."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from latent_agent.errors import SettingError
from latent_agent.recall.stored_search import REPLAYED, StoredSearch, search_of
from latent_agent.setting_rules import parse_setting
from latent_agent.settings import RULES, Settings, settings_for
from latent_memory import LatentMemory, Shelf
from latent_memory.listing import newest_settings

NEWEST = 100
"""How many traces decide how calls are searched now."""

_SHELF = "chat_template_kwargs"  # a shelf has but one
SETTABLE = (*(name for name in REPLAYED if name != _SHELF), "timeout", "seed")
_RULES = {name: RULES[name] for name in SETTABLE}


@dataclass(frozen=True, kw_only=True)
class NightSearch:
    """How the gate's questions are searched.

    Attributes:
        settings: The settings.
        source: Where they come from, for the report.
    """

    settings: Settings
    source: str


def search_for(
    memory: LatentMemory,
    shelf: Shelf,
    recipe: str | None = None,
    given: Mapping[str, Any] | None = None,
) -> NightSearch:
    """Return how a shelf's night searches.

    The base are the settings that most of the newest 100 traces have; of several as frequent
    ones, the newest trace's. A recipe takes their place; what is given is put over either.

    Raises:
        SettingError: If a setting is not what it must be.
    """
    given = given or {}
    if recipe is not None:
        template = newest_search(memory, shelf).template
        base, source = settings_for(recipe, chat_template_kwargs=template), f"recipe {recipe}"
    else:
        base, source = _of_traces(memory, shelf)
    values = {name: getattr(base, name) for name in (*SETTABLE, _SHELF)}
    if "fraction" in given and "prefix_tokens" not in given:
        values["prefix_tokens"] = None
    if given:
        source += f", and {', '.join(sorted(given))} as given"
    return NightSearch(settings=_settings({**values, **given}), source=source)


def _of_traces(memory: LatentMemory, shelf: Shelf) -> tuple[Settings, str]:
    with memory.database.read() as connection:
        newest = newest_settings(connection, shelf, NEWEST)
    known = Counter(text for text in newest if text is not None)
    if not known:
        return settings_for(), "recipe default, since no trace says how it was searched"
    (text, count) = known.most_common(1)[0]
    source = f"as {count} of the newest {len(newest)} traces"
    try:
        return _settings(search_of(text).settings), source
    except SettingError as error:
        raise SettingError(
            f"the settings of the newest traces must be those of a call, got {text[:200]!r} in "
            f"namespace {shelf.namespace!r}, where an import must have brought them ({error}); "
            "give --recipe"
        ) from error


def _settings(values: Mapping[str, Any]) -> Settings:
    known: dict[str, Any] = {"neighbours": 0, **values}
    return Settings(**known)


def parse_settings(assignments: Sequence[str]) -> dict[str, Any]:
    """Read settings written ``name=value``.

    Raises:
        SettingError: If one is no such assignment, or a replay has no such setting.
    """
    return dict(parse_setting(text, _RULES) for text in assignments)


def newest_search(memory: LatentMemory, shelf: Shelf) -> StoredSearch:
    """Return how a shelf's newest trace was searched, as far as it is recorded."""
    with memory.database.read() as connection:
        (text,) = newest_settings(connection, shelf, 1) or [None]
    return search_of(text)
