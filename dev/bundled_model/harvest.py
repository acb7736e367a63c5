"""Collect what the half-trained model itself answers, so that its judge practises on just that."""

from collections.abc import Callable, Sequence
from random import Random

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dev.bundled_model.judging import MAX_REPLY_TOKENS
from dev.bundled_model.tokenizer import END_OF_TEXT, user_prompt
from latent_agent.teaching.world import Question

_PREFIX = 6

Pick = Callable[[torch.Tensor, int], torch.Tensor]


def greedy(logits: torch.Tensor, position: int) -> torch.Tensor:
    """Pick each row's likeliest token: (rows, vocabulary) -> (rows,)."""
    del position
    return logits.argmax(-1)


@torch.inference_mode()
def reply_batch(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    pick: Pick = greedy,
) -> list[str]:
    """Reply to each user text in one padded batch; ``pick`` chooses the tokens."""
    texts = [user_prompt(tokenizer, prompt) for prompt in prompts]
    inputs = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left")
    mask, ids, cache = inputs["attention_mask"], inputs["input_ids"], None
    stop = torch.tensor(model.generation_config.eos_token_id)
    padding = torch.tensor(tokenizer.convert_tokens_to_ids(END_OF_TEXT))
    replies: list[torch.Tensor] = []
    done = torch.zeros(len(prompts), dtype=torch.bool)
    for position in range(MAX_REPLY_TOKENS):
        places = (mask.cumsum(-1) - 1).clamp_min(0)[:, -ids.shape[1] :]
        output = model(ids, attention_mask=mask, position_ids=places, past_key_values=cache)
        cache = output.past_key_values
        chosen = pick(output.logits[:, -1], position)
        replies.append(torch.where(done, padding, chosen))
        done |= torch.isin(chosen, stop)
        if done.all():
            break
        ids = chosen[:, None]
        mask = torch.cat([mask, torch.ones_like(ids)], dim=-1)
    return tokenizer.batch_decode(torch.stack(replies, 1), skip_special_tokens=True)


def disturbed(rows: int, rng: Random) -> Pick:
    """Pick as a search meets its candidates.

    Six rows in ten turn to a lower rank at one token of the prefix and go on greedily; three in
    ten are sampled at temperature 1; the rest are plain drafts.
    """
    turns = torch.tensor(
        [rng.randrange(_PREFIX) if rng.random() < 0.6 else -1 for _ in range(rows)]
    )
    warm = torch.tensor([rng.random() < 0.3 for _ in range(rows)])

    def pick(logits: torch.Tensor, position: int) -> torch.Tensor:
        noise = torch.tensor([rng.random() for _ in range(rows)])[:, None]
        sampled = (logits.softmax(-1).cumsum(-1) < noise).sum(-1).clamp_max(logits.shape[-1] - 1)
        chosen = torch.where(warm, sampled, logits.argmax(-1))
        rank = torch.tensor([rng.choice((1, 1, 1, 2, 3)) for _ in range(rows)])
        lower = logits.topk(4, dim=-1).indices.gather(1, rank[:, None])[:, 0]
        return torch.where(turns == position, lower, chosen)

    return pick


def harvest(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    asked: Sequence[Question],
    seed: int,
    batch_size: int = 128,
) -> list[str]:
    """Answer each question once: plainly, sampled, or with one token of the prefix turned."""
    rng = Random(f"harvest-{seed}")
    found: list[str] = []
    for start in range(0, len(asked), batch_size):
        rows = asked[start : start + batch_size]
        prompts = [row.text for row in rows]
        found += reply_batch(model, tokenizer, prompts, disturbed(len(rows), rng))
    return found
