"""LatentSeek in its plainest form: no cache, no skipping, one question at a time, float32.

The engine must give the same tokens, the same rewards in the same order and the same number of
steps. What the two share is kept small: the prompt encoder, the samplers' random streams, the
rewards' arithmetic and the settings.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from latent_agent.model.conversation import Turn
from latent_agent.model.prompt import encode_chat
from latent_agent.model.sampling import Sampler
from latent_agent.reward.base import Case, Reward, Score, checked_score
from latent_agent.reward.judge import JudgeRequest
from latent_agent.settings import Settings

Tried = tuple[list[int], Score, list[int]]
"""An answer's tokens, its score, and the prefix that was decoded from the latents."""


class PlainLM:
    """Reads everything anew for every token, and counts what it reads."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        judge_prompts: Mapping[str, Any] | None = None,
    ) -> None:
        self.model, self.tokenizer, self.prompts = model, tokenizer, judge_prompts
        generation: Any = model.generation_config
        ends: Any = generation.eos_token_id
        self.stops: set[int] = {ends} if isinstance(ends, int) else set(ends or ())
        self.body: Any = model.base_model
        self.head: Any = model.get_output_embeddings()
        self.forwarded = 0

    @torch.no_grad()
    def latent(self, ids: Sequence[int]) -> torch.Tensor:
        """Return the latent after ids, (d,)."""
        self.forwarded += len(ids)
        rows = torch.tensor([list(ids)], device=self.model.device)
        return self.body(rows, use_cache=False).last_hidden_state[0, -1]

    def write(
        self, prompt: list[int], prefix: Sequence[int], limit: int, sampler: Sampler
    ) -> tuple[list[int], list[torch.Tensor]]:
        """Continue a prefix to a whole answer; return its tokens and the new ones' latents."""
        tokens, latents = list(prefix), list[torch.Tensor]()
        while len(tokens) < limit and not (tokens and tokens[-1] in self.stops):
            latents.append(self.latent(prompt + tokens))
            tokens.append(sampler.choose(self.head(latents[-1])))
        return tokens, latents

    def text(self, tokens: Sequence[int]) -> str:
        """Decode an answer without its stop token."""
        text: Any = self.tokenizer.decode([token for token in tokens if token not in self.stops])
        return text

    def tells_apart(self, words: Sequence[str]) -> bool:
        """Whether each of some words is a token of its own."""
        ids = [self.tokenizer.encode(word) for word in words]
        return len({tuple(one) for one in ids if len(one) == 1}) == len(words)

    def ask(self, requests: Sequence[JudgeRequest]) -> list[str]:
        """Answer a judge's requests one after the other."""
        replies: list[str] = []
        for request in requests:
            ids = encode_chat(self.tokenizer, [Turn("user", request.prompt)])
            if request.choices:
                logits = self.head(self.latent(ids))
                first = [self.tokenizer.encode(word)[0] for word in request.choices]
                replies.append(request.choices[logits[first].argmax()].strip())
            else:
                replies.append(self.text(self.write(ids, [], request.max_tokens, Sampler(0))[0]))
        return replies


def plain_loss(
    lm: PlainLM, z: torch.Tensor, tried: Sequence[Tried], settings: Settings
) -> torch.Tensor:
    """Minus the mean over tries of R * log pi."""
    logits = lm.head(z) / (settings.temperature or 1.0)
    loss = torch.zeros((), device=z.device)
    for _, verdict, prefix in tried:
        log_pi: Any = torch.distributions.Categorical(logits=logits[: len(prefix)])
        weight = verdict.value + settings.reward_offset
        chosen = torch.tensor(prefix, device=z.device)
        likelihood: Any = log_pi.log_prob(chosen).sum()
        loss = loss - weight * likelihood / len(tried)
    return loss


def plain_decode(lm: PlainLM, z: torch.Tensor, sampler: Sampler) -> list[int]:
    """Choose one token a latent, up to and with a stop token."""
    prefix: list[int] = []
    for row in lm.head(z):
        prefix.append(sampler.choose(row))
        if prefix[-1] in lm.stops:
            break
    return prefix


def plain_latentseek(
    lm: PlainLM, reward: Reward, settings: Settings, question: str
) -> tuple[list[int], list[float], int]:
    """Return (answer tokens, rewards, steps) of the method as section 2 of the paper tells it."""
    prompt = encode_chat(lm.tokenizer, [Turn("user", question)])
    limit = settings.max_tokens

    def rank(trial: Tried) -> tuple[bool, float]:
        return trial[1].passes(settings.threshold), trial[1].value

    def score(tokens: list[int]) -> Score:
        case = Case(question=question, answer=lm.text(tokens), conversation=question, judge=lm)
        return checked_score(reward, case)

    draft, latents = lm.write(prompt, [], limit, Sampler(0))
    length = settings.prefix_length(len(draft))
    z = torch.stack(latents[:length]).clone().requires_grad_()
    adam = torch.optim.Adam([z], lr=settings.learning_rate)
    tried: list[Tried] = [(draft, score(draft), draft[:length])]
    best, rewards, steps = tried[0], [tried[0][1].value], 0
    while steps < settings.max_iterations and not best[1].passes(settings.threshold):
        adam.zero_grad()
        plain_loss(lm, z, tried, settings).backward()  # pyright: ignore[reportUnknownMemberType]
        adam.step()
        steps += 1
        tried = []
        for sample in range(settings.samples):
            sampler = Sampler(settings.temperature, settings.seed, steps, sample)
            prefix = plain_decode(lm, z.detach(), sampler)
            tokens, _ = lm.write(prompt, prefix, limit, sampler)
            tried.append((tokens, score(tokens), prefix))
        rewards.append(sum(verdict.value for _, verdict, _ in tried) / len(tried))
        best = max([best, *tried], key=rank)
        patience = settings.patience or len(rewards)
        before = rewards[:-patience]
        if before and max(rewards[-patience:]) <= max(before):
            break
    return best[0], rewards, steps
