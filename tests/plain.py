"""LatentSeek in its plainest form: no cache, no skipping, one question at a time, float32.

The engine must give the same tokens, the same rewards in the same order and the same number of
steps. What the two share is kept small: the prompt encoder, the samplers' random streams, the
rewards' arithmetic and the settings.
"""

import torch

from latent_agent.prompt import Turn, encode_chat
from latent_agent.reward.base import Case, checked_score
from latent_agent.sampling import Sampler


class PlainLM:
    """Reads everything anew for every token, and counts what it reads."""

    def __init__(self, model, tokenizer, judge_prompts=None):
        self.model, self.tokenizer, self.prompts = model, tokenizer, judge_prompts
        self.stops = set(model.generation_config.eos_token_id)
        self.forwarded = 0

    @torch.no_grad()
    def latent(self, ids):
        self.forwarded += len(ids)
        return self.model.model(torch.tensor([ids]), use_cache=False).last_hidden_state[0, -1]

    def write(self, prompt, prefix, limit, sampler):
        tokens, latents = list(prefix), []
        while len(tokens) < limit and not (tokens and tokens[-1] in self.stops):
            latents.append(self.latent(prompt + tokens))
            tokens.append(sampler.choose(self.model.lm_head(latents[-1])))
        return tokens, latents

    def text(self, tokens):
        return self.tokenizer.decode([t for t in tokens if t not in self.stops])

    def ask(self, requests):
        replies = []
        for request in requests:
            ids = encode_chat(self.tokenizer, [Turn("user", request.prompt)])
            if request.choices:
                logits = self.model.lm_head(self.latent(ids))
                first = [self.tokenizer.encode(word)[0] for word in request.choices]
                replies.append(request.choices[logits[first].argmax()].strip())
            else:
                replies.append(self.text(self.write(ids, [], request.max_tokens, Sampler(0))[0]))
        return replies


def plain_loss(lm, z, tried, settings):
    """Minus the mean over tries of R * log pi."""
    logits = lm.model.lm_head(z) / (settings.temperature or 1.0)
    loss = torch.zeros(())
    for _, verdict, prefix in tried:
        log_pi = torch.distributions.Categorical(logits=logits[: len(prefix)])
        weight = verdict.value + settings.reward_offset
        loss = loss - weight * log_pi.log_prob(torch.tensor(prefix)).sum() / len(tried)
    return loss


def plain_decode(lm, z, sampler):
    """Choose one token a latent, up to and with a stop token."""
    prefix = []
    for row in lm.model.lm_head(z):
        prefix.append(sampler.choose(row))
        if prefix[-1] in lm.stops:
            break
    return prefix


def plain_latentseek(lm, reward, settings, question):
    """Return (answer tokens, rewards, steps) of the method as section 2 of the paper tells it."""
    prompt = encode_chat(lm.tokenizer, [Turn("user", question)])
    limit = settings.max_tokens

    def rank(trial):
        return trial[1].passes(settings.threshold), trial[1].value

    def score(tokens):
        case = Case(question=question, answer=lm.text(tokens), conversation=question, judge=lm)
        return checked_score(reward, case)

    draft, latents = lm.write(prompt, [], limit, Sampler(0))
    length = settings.prefix_length(len(draft))
    z = torch.stack(latents[:length]).clone().requires_grad_()
    adam = torch.optim.Adam([z], lr=settings.learning_rate)
    tried = [(draft, score(draft), draft[:length])]
    best, rewards, steps = tried[0], [tried[0][1].value], 0
    while steps < settings.max_iterations and not best[1].passes(settings.threshold):
        adam.zero_grad()
        plain_loss(lm, z, tried, settings).backward()
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
        before = rewards[: -settings.patience] if settings.patience else []
        if before and max(rewards[-settings.patience :]) <= max(before):
            break
    return best[0], rewards, steps
