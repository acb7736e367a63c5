"""From what a command line says to a bench and a plan, and what is written down of both."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

import torch

from latent_agent.call.agent import accepting, reward_for
from latent_agent.errors import EvaluationError
from latent_agent.evaluation.bench import Bench
from latent_agent.evaluation.checking import checker_named
from latent_agent.evaluation.items import Item, digest, load_items
from latent_agent.evaluation.run import Plan
from latent_agent.evaluation.specs import parse_methods, swept
from latent_agent.model.options import LoadOptions
from latent_agent.model.places import place_name
from latent_agent.model.registry import open_model
from latent_agent.nights.gate import GateSettings
from latent_agent.nights.job import NightSettings
from latent_agent.settings import settings_for
from latent_agent.teaching.misjudging import Misjudging

_PACKAGES = ("latent-agent", "torch", "transformers", "math-verify", "numpy", "scipy")


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """What a command line says; see ``latent-agent evaluate --help``."""

    model: Any = "bundled"
    tokenizer: Any = None
    data: str = "bundled"
    methods: str = "greedy"
    questions: int | None = None
    draw: int = 0
    families: Sequence[str] = ()
    seeds: int = 1
    check: str = "auto"
    ending: str = ""
    recipe: str = "default"
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    reward: Any = None
    misjudge: float = 0.0
    sampling: float = 1.0
    sweeps: Sequence[str] = ()
    train: str | None = None
    train_questions: int = 200
    period: int | None = None
    days: Sequence[str] = ("all",)
    night_calls: int = 180
    at_once: int = 8
    opened: LoadOptions = field(default_factory=LoadOptions)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A bench and a plan."""

    bench: Bench
    plan: Plan


def experiment(asked: EvaluationRequest) -> Experiment:
    """Build what is asked for; no weights are read yet.

    Raises:
        LatentAgentError: If an item, a method or a setting is not what it must be.
    """
    settings = settings_for(asked.recipe, **asked.settings)
    reward = reward_for(settings, asked.reward)
    settings = accepting(settings, reward)
    if asked.misjudge:
        reward = Misjudging(reward, asked.misjudge)
    specs = swept(parse_methods(asked.methods), asked.sweeps)
    bench = Bench(
        model=open_model(asked.model, asked.tokenizer, asked.opened),
        settings=settings,
        reward=reward,
        checker=checker_named(asked.check),
        ending=asked.ending,
        temperature=asked.sampling,
    )
    plan = Plan(
        specs=specs,
        items=load_items(asked.data, asked.questions, asked.draw, asked.families),
        seeds=range(asked.seeds),
        days=training_days(asked) if asked.train or any(spec.trained for spec in specs) else (),
        night=NightSettings(if_new=1, seed=0, gate=GateSettings(calls=asked.night_calls)),
        at_once=asked.at_once,
    )
    return Experiment(bench=bench, plan=plan)


def training_days(asked: EvaluationRequest) -> list[list[Item]]:
    """Return the training questions, day by day; no question comes twice.

    Raises:
        EvaluationError: If there are too few.
    """
    if asked.train is None:
        raise EvaluationError(
            "methods with a memory or a prior need training questions, got none; give --train, a "
            "file like --data with other questions in it"
        )
    count, used, days = asked.train_questions, set[str](), list[list[Item]]()
    for families in asked.days:
        wanted = () if families == "all" else tuple(families.split("+"))
        pool = load_items(asked.train, count * len(asked.days), asked.draw, wanted)
        today = [item for item in pool if item.key not in used][:count]
        if len(today) < count and asked.train.startswith("bundled"):
            raise EvaluationError(
                f"a day must have {count} questions, got {len(today)}; give fewer "
                "--train-questions, or fewer days"
            )
        if not today:
            raise EvaluationError("a day must have questions, got none left; give fewer --day")
        used.update(item.key for item in today)
        days += _by_period(today, asked.period or len(today))
    return days


def _by_period(today: list[Item], period: int) -> list[list[Item]]:
    """Cut a day into days of ``period`` questions each, the last of which may be shorter."""
    return [today[at : at + period] for at in range(0, len(today), period)]


def written(asked: EvaluationRequest, made: Experiment) -> dict[str, Any]:
    """Return what is written down beside the results.

    ``answers`` is all that answers hang on: a folder keeps to it.
    """
    bench, plan, place = made.bench, made.plan, place_name(asked.model)
    return {
        "answers": {
            "model": place if isinstance(place, str) else type(place).__name__,
            "fingerprint": bench.model.fingerprint(),
            "data": asked.data,
            "items": digest(plan.items),
            "questions": len(plan.items),
            "check": asked.check,
            "ending": asked.ending,
            "settings": asdict(bench.settings),
            "reward": bench.reward.id,
            "sampling": asked.sampling,
            "night": asdict(plan.night),
            "days": [digest(day) for day in plan.days],
            "questions_a_day": [len(day) for day in plan.days],
            "families_of_days": list(asked.days) if plan.days else [],
        },
        "methods": [str(spec) for spec in plan.specs],
        "seeds": list(plan.seeds),
        "at_once": plan.at_once,
        "versions": {
            **{name: version(name) for name in _PACKAGES},
            "python": platform.python_version(),
            "platform": platform.platform(),
            "threads": torch.get_num_threads(),
        },
    }
