"""A method as it is named on a command line: ``latentseek:learning_rate=0.1``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from latent_agent.call.agent import reward_for
from latent_agent.errors import EvaluationError
from latent_agent.evaluation.bench import Bench, Method
from latent_agent.evaluation.controls import CONTROLS
from latent_agent.evaluation.methods import METHODS, STREAM
from latent_agent.reward import Reward, SelfReward
from latent_agent.setting_rules import NUMBER, parse_setting
from latent_agent.settings import RULES, Settings
from latent_agent.teaching.misjudging import Misjudging

KNOWN: Mapping[str, Method] = {**METHODS, **CONTROLS}
TRAINED = ("latentseek+memory", "latentseek+prior", "latentseek+both", *list(CONTROLS)[2:])
PLAIN = ("greedy", "self-consistency", "best-of-n", "latentseek", "latentseek+psrm")
ALL = (*PLAIN, "latentseek+memory", "latentseek+prior", "latentseek+both", *CONTROLS)
_OWN = {"sampling": (NUMBER,), "misjudge": (NUMBER,)}
"""Beside the settings: the samples' temperature, and the share of answers misjudged."""

_NOT_BY_TEXT = {"seed", "stop", "chat_template_kwargs"}
_RULES = {name: rules for name, rules in RULES.items() if name not in _NOT_BY_TEXT} | _OWN
Value = float | str


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A method with settings of its own."""

    name: str
    given: tuple[tuple[str, Value], ...] = ()

    def __str__(self) -> str:
        """Render it as it is named on a command line."""
        return ":".join([self.name, *(f"{name}={shown(value)}" for name, value in self.given)])

    @classmethod
    def parse(cls, text: str) -> "Spec":
        """Read a method's name.

        Raises:
            EvaluationError: If the method is unknown.
            SettingError: If a setting is unknown, or its value is not what it must be.
        """
        name, *given = text.strip().split(":")
        if name not in KNOWN:
            raise EvaluationError(
                f"a method must be one of {', '.join(KNOWN)}, got {name!r}; for example "
                "--methods greedy,best-of-n,latentseek, or --methods all"
            )
        return cls(name=name, given=tuple(setting(one) for one in given))

    def using(self, **given: Value) -> "Spec":
        """Return the same method with more settings of its own."""
        return Spec(name=self.name, given=(*self.given, *given.items()))

    @property
    def trained(self) -> bool:
        """Whether it needs training questions."""
        return self.name in TRAINED

    @property
    def streams(self) -> bool:
        """Whether it writes a memory along the questions."""
        return self.name == STREAM

    @property
    def method(self) -> Method:
        """What answers an item."""
        return KNOWN[self.name]

    def on(self, bench: Bench, seed: int) -> Bench:
        """Return a bench with this method's settings, and a seed."""
        own: dict[str, Any] = dict(self.given)
        sampling, misjudge = own.pop("sampling", bench.temperature), own.pop("misjudge", 0.0)
        if "fraction" in own:
            own.setdefault("prefix_tokens", None)
        settings = replace(bench.settings, seed=seed, **own)
        reward = _judge(bench, settings) if own.keys() & {"judge", "verdict"} else bench.reward
        if misjudge:
            reward = Misjudging(reward, misjudge, seed)
        return replace(bench, settings=settings, reward=reward, temperature=sampling)


def _judge(bench: Bench, settings: Settings) -> Reward:
    """Return the built-in judge that a method's own settings name."""
    if not isinstance(bench.reward, SelfReward):
        raise EvaluationError(
            "a method can have a judge= or verdict= of its own where the model judges itself, got "
            f"the reward {bench.reward.id!r}; leave out --reward and --misjudge"
        )
    return reward_for(settings)


def parse_methods(text: str) -> list[Spec]:
    """Read a list of methods, with ``all`` for the usual table; ``greedy`` always is among them."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    spread = [one for name in names for one in (ALL if name == "all" else (name,))]
    return [Spec.parse(name) for name in dict.fromkeys(["greedy", *spread])]


def swept(specs: Sequence[Spec], sweeps: Sequence[str]) -> list[Spec]:
    """Add the variants of all methods but ``greedy`` that sweeps ask for.

    Args:
        specs: The methods.
        sweeps: Texts like ``learning_rate=0.01,0.03``.
    """
    variants = list(specs)
    for sweep in sweeps:
        name, _, values = sweep.partition("=")
        pairs = [setting(f"{name}={value}") for value in values.split(",")]
        for spec in specs:
            if spec.name != "greedy":
                variants += [spec.using(**dict([pair])) for pair in pairs]
    return list(dict.fromkeys(variants))


def shown(value: Value) -> str:
    """Render a value as it is written on a command line."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def setting(text: str) -> tuple[str, Value]:
    """Read a setting of a method.

    Raises:
        SettingError: If it is none.
    """
    return parse_setting(text, _RULES)
