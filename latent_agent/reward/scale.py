"""A verdict on a scale: the score that the model would give, weighed by how likely each is."""

from collections.abc import Sequence

from latent_agent.errors import RewardError
from latent_agent.reward.base import Case, Reward, Score, built_in_id
from latent_agent.reward.finals import final_in
from latent_agent.reward.judge import Judge, JudgeRequest, needed
from latent_agent.reward.judge_prompts import fill, prompts_from

_DIGITS, _LETTERS = tuple("123456789"), tuple("ABCDEFGHI")


class ScaleReward(Reward):
    """The expected score over the logits of a scale, mapped to [-1, 0]: one pass for a round.

    Scores are the digits 1 to 9, or the letters A to I where a digit is no single token of the
    model's. The mean over all of them is finer than the likeliest one.

    Args:
        final_only: Show the judge the question and the final answer, not how it came about; an
            answer that states nothing in the end scores -1.
        threshold: Above it an answer is accepted; None: the settings say. It means nothing before
            it was calibrated for the model.
    """

    needs_threshold = True

    def __init__(self, *, final_only: bool = False, threshold: float | None = None) -> None:
        self.final_only, self.threshold = final_only, threshold

    @property
    def id(self) -> str:
        """What the judge is shown."""
        return built_in_id(self, final_only=self.final_only)

    def score(self, case: Case) -> Score:
        """Ask for one score."""
        return self.score_round([case])[0]

    def score_round(self, cases: Sequence[Case]) -> list[Score]:
        """Ask for all scores in one pass."""
        judge = needed(cases[0].judge, self)
        shown = [self._shown(case) for case in cases]
        steps, asked = _steps(judge), [one for one in shown if one is not None]
        replies = iter(self._ask(judge, steps, cases[0].conversation, asked) if asked else ())
        found = [0.0 if one is None else float(next(replies)) for one in shown]
        return [Score(value=min(one - 1.0, 0.0), checks={"scale": one}) for one in found]

    def _shown(self, case: Case) -> str | None:
        return final_in(case.question, case.answer) if self.final_only else case.answer

    def _ask(
        self, judge: Judge, steps: Sequence[str], conversation: str, shown: Sequence[str]
    ) -> list[str]:
        prompt = prompts_from(judge.prompts).scale
        prompt = prompt.replace("{worst}", steps[0]).replace("{best}", steps[-1])
        values = tuple(place / (len(steps) - 1) for place in range(len(steps)))
        return judge.ask(
            [
                JudgeRequest(
                    prompt=fill(prompt, conversation, one), choices=tuple(steps), values=values
                )
                for one in shown
            ]
        )


def _steps(judge: Judge) -> Sequence[str]:
    """Return the scale's steps, the worst first.

    Raises:
        RewardError: If neither digits nor letters are single tokens.
    """
    for steps in (_DIGITS, _LETTERS):
        if judge.tells_apart(steps):
            return steps
    raise RewardError(
        "the steps of ScaleReward must be single tokens of the model's, but neither the digits 1 "
        "to 9 nor the letters A to I are; use SelfReward(verdict='probability')"
    )
