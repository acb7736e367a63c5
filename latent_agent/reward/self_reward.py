"""The LM judges its own answer."""

from collections.abc import Mapping, Sequence
from typing import Literal

from latent_agent.errors import SettingError
from latent_agent.reward.base import Case, Reward, Score, built_in_id
from latent_agent.reward.judge import JudgeRequest, needed
from latent_agent.reward.judge_prompts import JudgePrompts, fill, prompts_from
from latent_agent.reward.verdict import read_grade, read_verdict

CHECK_WEIGHTS = {"correct": 1.0, "understood": 1.0, "calculation": 2.0, "clear": 2.0}
GRADE_WEIGHTS = {"correct": 1.0, "understood": 1.0, "calculation": 1.0, "format": 2.0, "clear": 2.0}


class SelfReward(Reward):
    """Self-reward: yes/no checks (LatentSeek) or graded scores (LatentEvolve).

    With checks the reward is minus the weight of the failed ones over all weight; with grades it
    is the weighted mean (LatentEvolve, equation 11) minus 1. A reply without a verdict refuses,
    one without a grade scores 0. Verdicts are read from the reply alone: neither from a thought,
    nor from a reply that was cut off.

    Args:
        kind: ``checks``: answer correct, problem understood, calculation right, answer complete
            and clear, weights 1:1:2:2. ``grades``: answer correct, problem understood,
            calculations valid, format as asked, clear and explicit, weights 1:1:1:2:2.
        weights: Other weights, by check; those left out are not asked.
        strict: A failed "answer correct" is never accepted, however small its weight.
        verdict: ``generate`` lets the judge work before its verdict; ``logits`` reads it from
            one forward pass, which only serves a model that needs no working; ``probability``
            reads from there how likely True is beside False, for a graded reward (P(True) in
            Kadavath et al. 2022, arXiv 2207.05221). The last two: checks only.
        max_tokens: Longest reply; None: as long as the model's prompts say.
    """

    def __init__(
        self,
        kind: Literal["checks", "grades"] = "checks",
        *,
        weights: Mapping[str, float] | None = None,
        strict: bool = False,
        verdict: str = "generate",
        max_tokens: int | None = None,
    ) -> None:
        known = CHECK_WEIGHTS if kind == "checks" else GRADE_WEIGHTS
        self._weights = dict(known if weights is None else weights)
        unknown = sorted(self._weights.keys() - known.keys())
        if unknown or not self._weights or any(not w > 0 for w in self._weights.values()):
            raise SettingError(
                f"weights must be positive and name some of {list(known)}, got {weights!r}; "
                "leave a check out to switch it off"
            )
        if verdict not in ("generate", "logits", "probability"):
            raise SettingError(
                f"verdict must be one of generate, logits, probability, got {verdict!r}; choose "
                "one of them"
            )
        if kind == "grades" and verdict != "generate":
            raise SettingError(
                f"verdict={verdict!r} reads True or False and needs kind='checks', got "
                "kind='grades'; use verdict='generate'"
            )
        self._kind, self._strict, self._verdict = kind, strict, verdict
        self._max_tokens = max_tokens
        self.needs_threshold = verdict == "probability" and len(self._weights) == 1  # P(True)

    @property
    def id(self) -> str:
        """Kind, weights, strictness and how the verdict is read."""
        return built_in_id(
            self,
            kind=self._kind,
            weights=self._weights,
            strict=self._strict,
            verdict=self._verdict,
            max_tokens=self._max_tokens,
        )

    def score(self, case: Case) -> Score:
        """Ask the LM all checks in one batch."""
        return self.score_round([case])[0]

    def score_round(self, cases: Sequence[Case]) -> list[Score]:
        """Ask the LM all checks of all answers in one batch."""
        judge = needed(cases[0].judge, self)
        prompts, names = prompts_from(judge.prompts), list(self._weights)
        asked = [self._request(prompts, name, case) for case in cases for name in names]
        found = [self._read(reply, prompts) for reply in judge.ask(asked)]
        return [
            self._score(dict(zip(names, found[at : at + len(names)], strict=True)))
            for at in range(0, len(found), len(names))
        ]

    def _score(self, findings: Mapping[str, float]) -> Score:
        names = list(self._weights)
        total = sum(self._weights.values())
        quality = sum(self._weights[name] * findings[name] for name in names) / total
        vetoed = self._strict and findings.get("correct", 1.0) < 0.5
        return Score(value=min(quality - 1.0, 0.0), vetoed=vetoed, checks=findings)

    def _request(self, prompts: JudgePrompts, name: str, case: Case) -> JudgeRequest:
        if self._verdict != "generate":
            text = fill(prompts.quick[name], case.conversation, case.answer)
            values = (1.0, 0.0) if self._verdict == "probability" else ()
            return JudgeRequest(prompt=text, choices=prompts.words, values=values)
        texts = prompts.checks if self._kind == "checks" else prompts.grades
        text = fill(texts[name], case.conversation, case.answer)
        longest = self._max_tokens or prompts.max_tokens
        return JudgeRequest(prompt=text, max_tokens=longest, whole=True)

    def _read(self, reply: str, prompts: JudgePrompts) -> float:
        if self._kind == "grades":
            return read_grade(reply, prompts.grade_scale) or 0.0
        if self._verdict == "probability":
            return float(reply)
        return float(read_verdict(reply) is True)
