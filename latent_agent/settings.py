"""What a call may be told: frozen settings, and the named recipes that fill them in."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from latent_agent.errors import SettingError
from latent_agent.setting_rules import check

MAX_PREFIX = 300
CALLS = 32


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one call.

    Attributes:
        temperature: 0 decodes greedily; above 0 each step samples ``samples`` answers. The draft
            is greedy all the same, unless ``max_iterations`` is 0 (plain generation).
        sample_draft: Sample the draft too.
        top_p: Only the likeliest tokens that together reach this probability are sampled.
        max_tokens: Longest answer in tokens, the optimised prefix and a thought before the answer
            included.
        stop: Texts that end an answer; they are not part of it.
        timeout: Seconds after which the best answer so far is returned; None: no limit.
        seed: Seed of all sampling.
        max_iterations: Gradient steps at most (K); 0 is plain generation, unjudged.
        samples: Answers sampled in each step (M); above 1 needs a temperature.
        learning_rate: Adam's learning rate on the latents (eta).
        fraction: Share of the draft's latents that are optimised (rho), in (0, 1].
        prefix_tokens: A fixed number of latents instead (N); overrides ``fraction``.
        threshold: An answer whose reward is above it is accepted (tau), in [-1, 0).
        patience: Stop once the mean reward has not risen for so many rounds; None: never.
        reward_offset: Added to the reward in the gradient. 0 pushes away from what was tried
            (LatentSeek, rewards in [-1, 0]); 1 reinforces it (LatentEvolve, quality in [0, 1]).
        neighbours: Similar past questions recalled for a warm start (k); 0 recalls none.
        momentum: Factor on the neighbours' journeys (LatentEvolve, equation 5; 1 in the paper).
        momentum_temperature: Of the softmax over the neighbours' similarities.
        archive: Least reward, in [-1, 0], at which a call leaves a trace; never a vetoed answer
            (LatentEvolve keeps a quality of 0.5 or more).
        max_forwarded_tokens: Non-padding positions through the model's body that one call may
            spend; None: no limit.
        search: ``gradient`` (LatentSeek), or ``flip``: no gradient; the prefix's token of least
            margin is turned to its rival, then the next, K times. See
            `latent_agent.search.token_flip`.
        positions: Which positions of the prefix a gradient step updates: ``all``, or the share of
            greatest ``entropy`` or of least ``margin``. See
            `latent_agent.search.position_selection`.
        position_share: That share, in (0, 1].
        baseline: ``none``, or ``leave-one-out``: each sample's reward is held against the mean of
            the step's others; needs ``samples``. See `latent_agent.search.policy_gradient`.
        step: ``fixed`` (Adam's), or ``margin``: the same step, just long enough that a token of the
            prefix changes; greedy only. See `latent_agent.search.boundary_step`.
        rest: What follows the first token of the prefix that changes: ``kept`` as the latents have
            it, or written ``anew``, so that a long prefix need not contradict itself. See
            `latent_agent.search.prefix`.
        ties: Of two answers with the same reward, the ``first`` is kept or the ``shortest`` (the
            brevity of Kimi k1.5's length reward, arXiv 2501.12599, as a tie-break alone).
        verdict: How the built-in checks are read: ``generate``, ``logits``, or ``probability`` (the
            probability of "True" for a graded reward). See `SelfReward`.
        max_calls: Calls of one model that are answered at once, if ``max_waiting`` is given.
        max_waiting: Calls that may wait for a turn beyond those; one more is refused. None: no
            call waits, all share the model's passes.
        log_text: Whether logs tell the question and the answer too.
        chat_template_kwargs: Given to the chat template, which knows what they mean: for example
            ``{"enable_thinking": False}``. Traces of other arguments are other traces, but for
            a ``date_string``.
        judge: Built-in reward used where none is given: ``checks`` (four yes/no checks,
            LatentSeek section 3), ``strict`` (the same, and a failed "answer correct" is never
            accepted) or ``grades`` (five graded scores, LatentEvolve equation 11).
    """

    temperature: float = 0.0
    sample_draft: bool = False
    top_p: float = 1.0
    max_tokens: int = 1024
    stop: tuple[str, ...] = ()
    timeout: float | None = None
    seed: int = 0
    max_iterations: int = 10
    samples: int = 1
    learning_rate: float = 0.03
    fraction: float = 0.2
    prefix_tokens: int | None = None
    threshold: float = -0.2
    patience: int | None = None
    reward_offset: float = 0.0
    neighbours: int = 5
    momentum: float = 1.0
    momentum_temperature: float = 1.0
    archive: float = -0.5
    max_forwarded_tokens: int | None = None
    search: str = "gradient"
    positions: str = "all"
    position_share: float = 0.2
    baseline: str = "none"
    step: str = "fixed"
    rest: str = "kept"
    ties: str = "first"
    verdict: str = "generate"
    max_calls: int = CALLS
    max_waiting: int | None = None
    log_text: bool = False
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    judge: str = "checks"

    def __post_init__(self) -> None:
        check(self)

    def prefix_length(self, answer_tokens: int) -> int:
        """Return N for an answer of so many tokens: ``min(floor(rho * T), 300)``, at least 1."""
        wanted = self.prefix_tokens or min(math.floor(self.fraction * answer_tokens), MAX_PREFIX)
        return min(max(wanted, 1), answer_tokens)


RECIPES: Mapping[str, Mapping[str, Any]] = {
    # Our own: strict, and a fixed prefix, so that a published prior needs no full draft. What
    # follows the first token that changes is written anew: docs/evaluation.md, "Ways to search".
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


def settings_for(recipe: str = "default", **given: Any) -> Settings:
    """Return a recipe's settings with explicit arguments put over them; None means not given.

    ``fraction`` given without ``prefix_tokens`` switches a recipe's fixed prefix off.

    Raises:
        SettingError: If the recipe or a setting is unknown, or a value is out of range.
    """
    if recipe not in RECIPES:
        names = ", ".join(RECIPES)
        raise SettingError(f"recipe must be one of {names}, got {recipe!r}; choose one of them")
    explicit = {name: value for name, value in given.items() if value is not None}
    known = {field.name for field in fields(Settings)}
    if unknown := sorted(explicit.keys() - known):
        raise SettingError(f"unknown setting {unknown[0]!r}; the settings are {sorted(known)}")
    base = dict(RECIPES[recipe])
    if "fraction" in explicit:
        base.pop("prefix_tokens", None)
    return Settings(**{**base, **explicit})
