"""What settings must be, each by itself and together."""

import json
import math
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from latent_agent.errors import SettingError

if TYPE_CHECKING:
    from latent_agent.settings import Settings

_LAST = 2**63 - 1  # the greatest id that SQLite gives
_TAKEN = frozenset((
    "add_generation_prompt", "chat_template", "continue_final_message", "conversation",
    "max_length", "messages", "padding", "return_assistant_tokens_mask", "return_dict",
    "return_tensors", "tokenize", "tokenizer_kwargs", "tools", "truncation",
))  # fmt: skip
"""What `apply_chat_template` takes for itself."""
_OPTIONAL = ("max_waiting", "prefix_tokens", "patience", "max_forwarded_tokens")
CHOICES: Mapping[str, tuple[str, ...]] = {
    "search": ("gradient", "flip"),
    "positions": ("all", "entropy", "margin"),
    "baseline": ("none", "leave-one-out"),
    "step": ("fixed", "margin"),
    "rest": ("kept", "anew"),
    "ties": ("first", "shortest"),
    "verdict": ("generate", "logits", "probability"),
    "judge": ("checks", "strict", "grades"),
}
_WHOLE: Mapping[str, int] = {
    "max_tokens": 1,
    "max_iterations": 0,
    "samples": 1,
    "seed": 0,
    "neighbours": 0,
    "prefix_tokens": 1,
    "patience": 1,
    "max_forwarded_tokens": 1,
    "max_calls": 1,
    "max_waiting": 0,
}
_RANGES: Mapping[str, tuple[str, Callable[[float], bool], str]] = {
    "top_p": (
        "lie in (0, 1]",
        lambda value: 0 < value <= 1,
        "1.0 samples from all tokens, 0.9 leaves the unlikely tail out",
    ),
    "fraction": (
        "lie in (0, 1]",
        lambda value: 0 < value <= 1,
        "0.2 is the papers' value, or give a fixed number with prefix_tokens",
    ),
    "position_share": (
        "lie in (0, 1]",
        lambda value: 0 < value <= 1,
        "0.2 updates a fifth of the positions, at least one",
    ),
    "threshold": (
        "lie in [-1, 0)",
        lambda value: -1 <= value < 0,
        "rewards lie in [-1, 0] and only those above it are accepted, so use -0.2 or another "
        "negative number",
    ),
    "archive": (
        "lie in [-1, 0]",
        lambda value: -1 <= value <= 0,
        "-0.5 keeps what scored at least half of what can be had",
    ),
    "momentum_temperature": (
        "be above 0",
        lambda value: value > 0,
        "1.0 is the paper's value, less prefers the nearest neighbours",
    ),
}


def _one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise SettingError(
            f"{name} must be one of {', '.join(known)}, got {value!r}; choose one of them"
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


def check(settings: "Settings") -> None:
    """Hold settings to the rules.

    Raises:
        SettingError: If one is not what it must be, or two do not go together.
    """
    for name, known in CHOICES.items():
        _one_of(name, getattr(settings, name), known)
    for name, least in _WHOLE.items():
        _whole(name, getattr(settings, name), least)
    for name in ("temperature", "learning_rate", "momentum"):
        _at_least(name, getattr(settings, name), 0)
    if settings.timeout is not None:
        _at_least("timeout", settings.timeout, 0)
    for name, (rule, holds, remedy) in _RANGES.items():
        _number(name, value := getattr(settings, name))
        if not holds(value):
            raise SettingError(f"{name} must {rule}, got {value!r}; {remedy}")
    stop_texts(settings.stop)
    _template_kwargs(settings.chat_template_kwargs)
    _together(settings)


def _template_kwargs(given: object) -> None:
    rule = "chat_template_kwargs must be a dict of arguments for the chat template"
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


def _together(settings: "Settings") -> None:
    samples, temperature = settings.samples, settings.temperature
    if samples > 1 and temperature == 0:
        raise SettingError(
            f"samples={samples!r} needs a temperature above 0, got temperature={temperature!r}: "
            "greedy samples are all the same; set temperature=1.0, or samples=1"
        )
    if settings.baseline != "none" and samples == 1:
        raise SettingError(
            f"baseline={settings.baseline!r} needs samples of at least 2, got samples={samples!r}: "
            "one answer has no others to be held against; set samples=4 and temperature=1.0"
        )
    for name, greedy in (("search", "flip"), ("step", "margin")):
        if getattr(settings, name) == greedy and temperature > 0:
            raise SettingError(
                f"{name}={greedy!r} needs temperature=0, got temperature={temperature!r}: it "
                "changes the tokens that greedy decoding takes; set temperature=0.0"
            )


def _number(name: str, value: object) -> None:
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    if not math.isfinite(number):
        raise SettingError(f"{name} must be a finite number, got {value!r}; give a plain number")


def _at_least(name: str, value: float, least: float) -> None:
    _number(name, value)
    if value < least:
        raise SettingError(f"{name} must be at least {least}, got {value!r}; give {least} or more")


def _whole(name: str, value: object, least: int) -> None:
    if value is None and name in _OPTIONAL:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise SettingError(f"{name} must be a whole number, got {value!r}; give {least} or more")
    _at_least(name, value, least)
