"""One call: draft, judge, refine, answer."""

from collections.abc import Sequence

from latent_agent.call import Call, Outcome
from latent_agent.errors import BudgetSpent, PromptError, RewardError
from latent_agent.loading import SharedModel
from latent_agent.prompt import Turn, encode_chat
from latent_agent.refine import refine
from latent_agent.reward import Reward, SelfReward
from latent_agent.settings import Settings


def default_reward(judge: str) -> Reward:
    """Return the built-in reward that a recipe names."""
    if judge == "grades":
        return SelfReward("grades")
    return SelfReward("checks", strict=judge == "strict")


class LatentAgent:
    """LatentSeek over a frozen LM, one conversation at a time.

    Args:
        model: The model; its weights are read at the first call.
        settings: What holds for every call.
        reward: Scores answers; None: the recipe's own self-reward.
    """

    def __init__(
        self, model: SharedModel, settings: Settings, reward: Reward | None = None
    ) -> None:
        self.model = model
        self.settings = settings
        self.reward = reward or default_reward(settings.judge)

    def answer(self, turns: Sequence[Turn]) -> Outcome:
        """Answer a conversation; the last human text is the question that rewards see.

        Raises:
            PromptError: If the messages make no prompt, or the prompt does not fit.
        """
        prompt = self._encode(turns)
        call = Call(self.model, self.settings, self.reward, turns, prompt)
        draft = call.draft()
        if self.settings.max_iterations == 0 or draft.finish in ("time", "tokens"):
            return call.unjudged(draft)
        try:
            start = call.judge(draft)
        except (BudgetSpent, RewardError) as failure:
            return call.unjudged(draft, failure)
        search = refine(start, call.base(draft), call.backbone, call.attempt, self.settings)
        return call.searched(draft, search)

    def _encode(self, turns: Sequence[Turn]) -> list[int]:
        prompt = encode_chat(self.model.tokenizer, turns)
        window = self.model.context_window
        if window is not None and len(prompt) >= window:
            raise PromptError(
                f"the prompt must leave room in the context window of {window} tokens, got a "
                f"prompt of {len(prompt)} tokens; shorten or drop messages, or choose a model "
                "with a longer window"
            )
        return prompt
