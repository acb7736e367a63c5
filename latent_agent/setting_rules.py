"""What a setting must be: rules that each say the rule, the value received and the remedy."""

import dataclasses
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from latent_agent.errors import SettingError

_LAST = 2**63 - 1  # the greatest id that SQLite gives
_TAKEN = frozenset((
    "add_generation_prompt", "chat_template", "continue_final_message", "conversation",
    "max_length", "messages", "padding", "return_assistant_tokens_mask", "return_dict",
    "return_tensors", "tokenize", "tokenizer_kwargs", "tools", "truncation",
))  # fmt: skip
"""What `apply_chat_template` takes for itself."""

Check = Callable[[str, Any], object]
"""Takes a setting's name and value; raises a `SettingError` if the value is not allowed."""


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        says: What the value must be, behind "must".
        holds: Whether a value is that.
        remedy: What to give instead.
        choices: The values that there are, if the rule names them all.
    """

    says: str
    holds: Callable[[Any], bool]
    remedy: str
    choices: tuple[str, ...] = ()

    def __call__(self, name: str, value: object) -> None:
        """Raise a `SettingError` if the rule does not hold."""
        if not self.holds(value):
            raise SettingError(f"{name} must {self.says}, got {value!r}; {self.remedy}")


def setting(default: Any, meaning: str, *rules: Check) -> Any:
    """Declare a setting, a dataclass field: default (or what makes it), meaning, rules."""
    metadata = {"meaning": meaning, "rules": rules}
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def rules_of(field: "dataclasses.Field[Any]") -> Sequence[Rule]:
    """Return the rules of a setting that can be said in a few words."""
    return [rule for rule in field.metadata["rules"] if isinstance(rule, Rule)]


def check_settings(settings: Any) -> None:
    """Hold each setting to its own rules; None passes where it is the default.

    Raises:
        SettingError: If one does not hold.
    """
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if value is None and field.default is None:
            continue
        for check in field.metadata["rules"]:
            check(field.name, value)


def parse_setting(text: str, rules: Mapping[str, Sequence[Check]]) -> tuple[str, Any]:
    """Read ``name=value``, the value as JSON or else as text.

    Args:
        text: What was written.
        rules: The names that there are, each with what its value must be.

    Raises:
        SettingError: If it is no such assignment, or a rule does not hold.
    """
    name, equals, written = text.partition("=")
    if not equals or name not in rules:
        raise SettingError(
            f"a setting must be name=value with one of {', '.join(sorted(rules))}, got {text!r}; "
            "for example prefix_tokens=5"
        )
    value = _value(written)
    if name == "stop":
        value = tuple(map(str, value)) if isinstance(value, list) else (written,)
    if value is not None:
        for check in rules[name]:
            check(name, value)
    return name, value


def _value(text: str) -> Any:
    for read in (json.loads, float):  # .5 and 05 are numbers, but no JSON
        try:
            value = read(text)
        except (ValueError, RecursionError):
            continue
        whole_number = isinstance(value, float) and value.is_integer()
        return int(value) if whole_number else value
    return text


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


NUMBER = Rule("be a finite number", _is_number, "give a plain number")
FLAG = Rule("be True or False", lambda value: isinstance(value, bool), "give one of the two")


def at_least(least: float) -> tuple[Rule, Rule]:
    """A finite number from ``least`` on."""
    return NUMBER, _from(least)


def whole(least: int) -> tuple[Rule, Rule]:
    """A whole number from ``least`` on."""
    number = Rule(
        "be a whole number",
        lambda value: isinstance(value, int) and not isinstance(value, bool),
        f"give {least} or more",
    )
    return number, _from(least)


def _from(least: float) -> Rule:
    return Rule(f"be at least {least}", lambda value: value >= least, f"give {least} or more")


def within(says: str, holds: Callable[[float], bool], remedy: str) -> tuple[Rule, Rule]:
    """A finite number of a range."""
    return NUMBER, Rule(says, holds, remedy)


def one_of(*choices: str) -> Rule:
    """One of some words."""
    return Rule(
        f"be one of {', '.join(choices)}",
        lambda value: value in choices,
        "choose one of them",
        choices,
    )


def stop_texts(given: Any) -> tuple[str, ...]:
    """Return stop texts, which may be given as one text, several or None.

    Raises:
        SettingError: If one is empty, which every answer holds, or is no text.
    """
    texts: Any = () if given is None else (given,) if isinstance(given, str) else given
    if not isinstance(texts, Collection) or not all(
        isinstance(text, str) and text for text in texts
    ):
        raise SettingError(
            f"stop must be a text or several, none of them empty, got {given!r}; give for example "
            "['###'], or leave it out"
        )
    return tuple(texts)


def check_prior(prior: object) -> str | None:
    """Return which prior is wanted: ``auto``, None or a version.

    Raises:
        SettingError: If it can be no version: those are whole numbers from 1 on.
    """
    if prior is None or (isinstance(prior, str) and prior == "auto"):
        return prior
    number = prior if isinstance(prior, int) and not isinstance(prior, bool) else 0
    if isinstance(prior, str) and prior.isdecimal() and len(prior) <= len(str(_LAST)):
        number = int(prior)
    if not 1 <= number <= _LAST:
        shown = f"{prior[:20]}..." if isinstance(prior, str) and len(prior) > 40 else prior
        raise SettingError(
            f"prior must be 'auto', None or a version, a whole number from 1 on, got {shown!r}; "
            "see: latent-agent prior list"
        )
    return str(number)


def template_arguments(name: str, given: object) -> None:
    """Hold arguments of a chat template to plain JSON that the template does not get anyway."""
    rule = f"{name} must be a dict of arguments for the chat template"
    remedy = "for example {'enable_thinking': False}"
    try:
        json.dumps(given)
    except (TypeError, ValueError) as error:
        raise SettingError(
            f"{rule}, of plain JSON values, got {given!r} ({error}); {remedy}"
        ) from error
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise SettingError(f"{rule}, got {given!r}; {remedy}")
    if taken := sorted(_TAKEN.intersection(given)):
        raise SettingError(
            f"{rule}, and none that is given to it in any case, got {taken[0]!r}; leave it out "
            "(tools are bound with bind_tools)"
        )


def width_or_auto(name: str, value: Any) -> None:
    """Raise a `SettingError` unless it is a whole number from 1 on, or ``auto``."""
    number = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if not number and value != "auto":
        raise SettingError(
            f"{name} must be a whole number from 1 on or 'auto', got {value!r}; 1 is the published "
            "search, 'auto' follows the engine"
        )
