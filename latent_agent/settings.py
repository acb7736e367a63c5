"""The settings of a call, each with its meaning, default and range, and the named recipes.

This is the one place: `ChatLatentSeek`'s arguments, the errors and the reference page come from it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from latent_agent.errors import SettingError
from latent_agent.setting_rules import (
    FLAG,
    NUMBER,
    at_least,
    check_settings,
    one_of,
    setting,
    stop_texts,
    template_arguments,
    whole,
    width_or_auto,
    within,
)

MAX_PREFIX = 300
CALLS = 32


def _share(remedy: str) -> Any:
    return within("lie in (0, 1]", lambda value: 0 < value <= 1, remedy)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one call; docs/reference/settings.md lists them."""

    temperature: float = setting(
        0.0,
        "0 decodes greedily; above 0 each step samples `samples` answers. The draft is greedy all "
        "the same, unless `max_iterations` is 0 (plain generation).",
        *at_least(0),
    )
    sample_draft: bool = setting(False, "Sample the draft too.", FLAG)
    top_p: float = setting(
        1.0,
        "Only the likeliest tokens that together reach this probability are sampled.",
        *_share("1.0 samples from all tokens, 0.9 leaves the unlikely tail out"),
    )
    max_tokens: int = setting(
        1024,
        "Longest answer in tokens, the optimised prefix and a thought before the answer included.",
        *whole(1),
    )
    stop: tuple[str, ...] = setting(
        (),
        "Texts that end an answer; they are not part of it.",
        lambda _, value: stop_texts(value),
    )
    timeout: float | None = setting(
        None,
        "Seconds after which the best answer so far is returned; None: no limit.",
        *at_least(0),
    )
    seed: int = setting(0, "Seed of all sampling.", *whole(0))
    max_iterations: int = setting(
        10, "Rounds at most after the draft (K); 0 is plain generation, unjudged.", *whole(0)
    )
    samples: int = setting(
        1,
        "Answers sampled for each set of latents of a round (M); above 1 needs a temperature.",
        *whole(1),
    )
    width: int | str = setting(
        1,
        "Sets of latents that a round tries, written and judged in one batch: several lengths of a "
        "step, several searches. 1 is the published search; `auto` is as many as the engine writes "
        "for little more time than one.",
        width_or_auto,
    )
    onward: str = setting(
        "each",
        "Where the next round goes on from: from `each` set of latents by itself (published), or "
        "from the `best` so far.",
        one_of("each", "best"),
    )
    starts: str = setting(
        "draft",
        "Where a search begins: at the `draft`, or at `all` starts side by side, as many as "
        "`width`: warm starts, each neighbour's journey by itself, the draft, sampled drafts.",
        one_of("draft", "all"),
    )
    round_ends: str = setting(
        "last",
        "When a round ends: with its `last` answer, or with the first that is `accepted`. Then the "
        "others are discarded as far as they are written; a reward that asks the model judges "
        "after the round, and ends none.",
        one_of("last", "accepted"),
    )
    drafts: int = setting(
        1,
        "Drafts written in one batch: the draft, and above 1 sampled ones beside it. A relative "
        "reward, such as agreement, takes for 1 as many as the engine writes for little more time "
        "than one, and never fewer than 5.",
        *whole(1),
    )
    draft_temperature: float = setting(
        0.7,
        "Temperature of the sampled drafts.",
        *within("be above 0", lambda value: value > 0, "0.7 is usual, 1.0 varies more"),
    )
    learning_rate: float = setting(0.03, "Adam's learning rate on the latents (eta).", *at_least(0))
    fraction: float = setting(
        0.2,
        "Share of the draft's latents that are optimised (rho).",
        *_share("0.2 is the papers' value, or give a fixed number with prefix_tokens"),
    )
    prefix_tokens: int | None = setting(
        None, "A fixed number of latents instead (N); overrides `fraction`.", *whole(1)
    )
    threshold: float = setting(
        -0.2,
        "An answer whose reward is above it is accepted (tau).",
        *within(
            "lie in [-1, 0)",
            lambda value: -1 <= value < 0,
            "rewards lie in [-1, 0] and only those above it are accepted, so use -0.2 or another "
            "negative number",
        ),
    )
    patience: int | None = setting(
        None,
        "Rounds without a rise of the mean reward after which the search stops; None: never.",
        *whole(1),
    )
    reward_offset: float = setting(
        0.0,
        "Added to the reward in the gradient. 0 pushes away from what was tried (LatentSeek, "
        "rewards in [-1, 0]); 1 reinforces it (LatentEvolve, quality in [0, 1]).",
        NUMBER,
    )
    neighbours: int = setting(
        5, "Similar past questions recalled for a warm start (k); 0 recalls none.", *whole(0)
    )
    momentum: float = setting(
        1.0,
        "Factor on the neighbours' journeys (LatentEvolve, equation 5; 1 in the paper).",
        *at_least(0),
    )
    momentum_temperature: float = setting(
        1.0,
        "Of the softmax over the neighbours' similarities.",
        *within(
            "be above 0",
            lambda value: value > 0,
            "1.0 is the paper's value, less prefers the nearest neighbours",
        ),
    )
    archive: float = setting(
        -0.5,
        "Least reward at which a call leaves a trace; never a vetoed answer (LatentEvolve keeps a "
        "quality of 0.5 or more).",
        *within(
            "lie in [-1, 0]",
            lambda value: -1 <= value <= 0,
            "-0.5 keeps what scored at least half of what can be had",
        ),
    )
    max_forwarded_tokens: int | None = setting(
        None,
        "Non-padding positions through the model's body that one call may spend; None: no limit.",
        *whole(1),
    )
    search: str = setting(
        "gradient",
        "`gradient` (LatentSeek), `soft_prefix` (GradCuit: the gradient moves a short text behind "
        "the prompt, at a block's input; transformers only), `soft_walk` (the same at random), or "
        "`flip`: no gradient; the prefix's token of least margin is replaced by the runner-up, "
        "then the next, K times.",
        one_of("gradient", "soft_prefix", "soft_walk", "flip"),
    )
    soft_depth: float = setting(
        0.33,
        "Share of the blocks that lie before the one at whose input a soft prefix is moved; 0 "
        "moves its embeddings.",
        *within("lie in [0, 1)", lambda value: 0 <= value < 1, "GradCuit takes 0, or 0.25 to 0.5"),
    )
    positions: str = setting(
        "all",
        "Which positions of the prefix a gradient step updates: `all`, or the share of greatest "
        "`entropy` or of least `margin`.",
        one_of("all", "entropy", "margin"),
    )
    position_share: float = setting(
        0.2, "That share.", *_share("0.2 updates a fifth of the positions, at least one")
    )
    baseline: str = setting(
        "none",
        "`none`, or `leave-one-out`: each sample's reward is compared with the mean of the step's "
        "others; needs `samples`.",
        one_of("none", "leave-one-out"),
    )
    step: str = setting(
        "fixed",
        "`fixed` (Adam's), or `margin`: the same step, just long enough that a token of the prefix "
        "changes; greedy only.",
        one_of("fixed", "margin"),
    )
    rest: str = setting(
        "kept",
        "What follows the first token of the prefix that changes: `kept` as the latents have it, "
        "or written `anew`, so that a long prefix need not contradict itself.",
        one_of("kept", "anew"),
    )
    ties: str = setting(
        "first",
        "Of two answers with the same reward, the `first` is kept or the `shortest` (the brevity "
        "of Kimi k1.5's length reward, arXiv 2501.12599, as a tie-break alone).",
        one_of("first", "shortest"),
    )
    verdict: str = setting(
        "generate",
        'How the built-in checks are read: `generate`, `logits`, or `probability` (of "True", '
        "for a graded reward).",
        one_of("generate", "logits", "probability"),
    )
    max_calls: int = setting(
        CALLS,
        "Calls of one model that are answered at once: awaited ones and those of a batch, and with "
        "`max_waiting` all.",
        *whole(1),
    )
    max_waiting: int | None = setting(
        None,
        "Calls that may wait for a turn beyond those; one more raises `BusyError` at once. None: "
        "no call waits, all share the model's passes.",
        *whole(0),
    )
    log_text: bool = setting(False, "Whether logs hold the question and the answer too.", FLAG)
    judge: str = setting(
        "checks",
        "Built-in reward used where none is given: `checks` (four yes/no checks, LatentSeek "
        'section 3), `strict` (the same, and a failed "answer correct" is never accepted), '
        "`grades` (five graded scores, LatentEvolve equation 11), `agreement` (of several answers' "
        "final statements; drafts are sampled), `scale` (one pass) or `equations` (recomputed).",
        one_of("checks", "strict", "grades", "agreement", "scale", "equations"),
    )
    chat_template_kwargs: Mapping[str, Any] = setting(
        dict,
        'Arguments of the model\'s chat template, for example `{"enable_thinking": False}`. Traces '
        "of other arguments are other traces, except for a `date_string`.",
        template_arguments,
    )

    def __post_init__(self) -> None:
        check_settings(self)
        _check_together(self)

    def prefix_length(self, answer_tokens: int) -> int:
        """Return N for an answer of T tokens: ``min(floor(rho * T), 300)``, at least 1."""
        wanted = self.prefix_tokens or min(math.floor(self.fraction * answer_tokens), MAX_PREFIX)
        return min(max(wanted, 1), answer_tokens)


RULES: Mapping[str, Any] = {field.name: field.metadata["rules"] for field in fields(Settings)}
"""What each setting must be; `parse_setting` reads by it."""


def _check_together(settings: Settings) -> None:
    samples, temperature = settings.samples, settings.temperature
    if samples > 1 and temperature == 0:
        raise SettingError(
            f"samples={samples!r} needs a temperature above 0, got temperature={temperature!r}: "
            "greedy samples are all the same; set temperature=1.0, or samples=1"
        )
    if settings.baseline != "none" and samples == 1:
        raise SettingError(
            f"baseline={settings.baseline!r} needs samples of at least 2, got samples={samples!r}: "
            "one answer has no others to be compared with; set samples=4 and temperature=1.0"
        )
    if settings.round_ends == "accepted" and settings.ties != "first":
        raise SettingError(
            f"round_ends='accepted' needs ties='first', got ties={settings.ties!r}: which answer "
            "is shortest is known once all are written; set round_ends='last', or ties='first'"
        )
    for name, greedy in (("search", "flip"), ("step", "margin")):
        if getattr(settings, name) == greedy and temperature > 0:
            raise SettingError(
                f"{name}={greedy!r} needs temperature=0, got temperature={temperature!r}: it "
                "changes the tokens that greedy decoding takes; set temperature=0.0"
            )


RECIPES: Mapping[str, Mapping[str, Any]] = {
    # Our own: strict, and a fixed prefix, so that a published prior needs no full draft. What
    # follows the first token that changes is written again: docs/evaluation.md, "Ways to search".
    "default": {
        "prefix_tokens": 3,
        "rest": "anew",
        "judge": "strict",
        "momentum": 3.0,
        "momentum_temperature": 0.2,
    },
    # arXiv 2505.13308, section 4: rho = 0.2, eta = 0.03, K = 10, tau = -0.2, greedy.
    "latentseek": {"judge": "checks"},
    # arXiv 2509.24771, section 4: L' = 15, eta = 0.3, K = 10, M = 8, three-rounds rule.
    "latentevolve": {
        "prefix_tokens": 15,
        "learning_rate": 0.3,
        "samples": 8,
        "temperature": 1.0,
        "patience": 3,
        "reward_offset": 1.0,
        "judge": "grades",
    },
}
"""What each recipe sets in place of the defaults: our own, LatentSeek's and LatentEvolve's."""

AUTO = "auto"
"""In place of a recipe, in a chat model: what was calibrated for the model, or else the default."""


def settings_for(recipe: str | None = None, **given: Any) -> Settings:
    """Return a recipe's settings with explicit arguments put over them; None means not given.

    A recipe that is not given is ``default``.

    ``fraction`` given without ``prefix_tokens`` switches a recipe's fixed prefix off.

    Raises:
        SettingError: If the recipe or a setting is unknown, or a value is out of range.
    """
    recipe = "default" if recipe is None else recipe
    if recipe not in RECIPES:
        names = ", ".join(RECIPES)
        raise SettingError(
            f"recipe must be one of {names}, or {AUTO} in a chat model, got {recipe!r}; choose one "
            "of them"
        )
    explicit = {name: value for name, value in given.items() if value is not None}
    known = {field.name for field in fields(Settings)}
    if unknown := sorted(explicit.keys() - known):
        raise SettingError(f"unknown setting {unknown[0]!r}; the settings are {sorted(known)}")
    base = dict(RECIPES[recipe])
    if "fraction" in explicit:
        base.pop("prefix_tokens", None)
    return Settings(**{**base, **explicit})
