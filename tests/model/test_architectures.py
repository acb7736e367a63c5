"""Any causal LM: latents give back their tokens, and a whole call runs, on tiny random models."""

import copy
import hashlib
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    PreTrainedModel,
    RwkvConfig,
)

from dev.bundled_model.tokenizer import VOCABULARY_SIZE
from latent_agent import ChatLatentSeek, SelfReward
from latent_agent.errors import ModelError
from latent_agent.model.budget import Budget
from latent_agent.model.conversation import Turn
from latent_agent.model.engine import AnswerLimits, Completion
from latent_agent.model.logits_mask import FREE
from latent_agent.model.prompt import encode_chat
from latent_agent.model.sampling import Sampler
from latent_agent.model.transformers_engine.engine import TransformersEngine
from latent_agent.model.transformers_engine.kv_sequence import CachedSequence
from latent_agent.reward import Score
from latent_agent.reward.judge import JudgeRequest
from latent_agent.reward.self_judge import SelfJudge
from latent_agent.search.adam import Adam
from latent_agent.search.refine import Search
from latent_agent.search.types import Candidate, Start, Trial
from latent_agent.settings import Settings
from tests.support.engines import complete
from tests.support.tiny import (
    CONFIGS,
    SLIDING,
    SLIDING_NAMES,
    randomised,
    tiny_model,
    tiny_tokenizer,
)

DTYPES = (torch.float32, torch.bfloat16)
PROMPT = "Tom has 12 apples and gives 5 to Ann. How many apples are left for Tom to eat?"

IDS = list(range(10, 60))

every_model = pytest.mark.parametrize("name", CONFIGS)
# A whole call takes longest: that of three models, and that of the others where there is time.
some_models_soon = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in ("llama", "gpt2", "mistral") else pytest.mark.slow)
        for name in CONFIGS
    ],
)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=("float32", "bfloat16"))


def checksum(model: PreTrainedModel) -> str:
    digest = hashlib.sha256()
    for name, weight in model.state_dict().items():
        digest.update(name.encode() + weight.contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def endless(model: PreTrainedModel) -> TransformersEngine:
    """A engine that no token stops, so that answers have their full length."""
    engine = TransformersEngine(model, tiny_tokenizer())
    engine.stop_ids = frozenset()
    return engine


def draft(engine: TransformersEngine, prompt: list[int], length: int) -> Completion:
    sequence = CachedSequence(engine, Budget())
    limits = AnswerLimits(max_tokens=length)
    return complete(sequence, prompt, (), limits=limits, sampler=Sampler(0.0), stage="draft")


@torch.no_grad()
def without_cache(model: PreTrainedModel, prompt: list[int], length: int) -> tuple[int, ...]:
    ids = list(prompt)
    for _ in range(length):
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits
        ids.append(int(logits[0, -1].argmax()))
    return tuple(ids[len(prompt) :])


@every_dtype
@every_model
def test_the_drafts_latents_decode_to_the_drafts_tokens(name: str, dtype: torch.dtype) -> None:
    engine = endless(tiny_model(name, dtype))
    answer = draft(engine, IDS, 60)
    assert len(answer.tokens) == 60
    assert len(set(answer.tokens)) > 3  # otherwise the comparison would say little
    assert answer.latents.shape == (60, 32)
    assert answer.latents.dtype == torch.float32
    assert engine.decode(answer.latents, Sampler(0.0)) == answer.tokens


@every_model
def test_the_draft_is_the_models_own_greedy_answer(name: str) -> None:
    model = tiny_model(name)
    ids = torch.tensor([IDS])
    theirs = model.generate(  # type: ignore[operator] - a mixin's method, as pyright sees it
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=60, do_sample=False
    )
    assert draft(endless(model), IDS, 60).tokens == tuple(theirs[0, len(IDS) :].tolist())


@pytest.mark.parametrize("name", SLIDING_NAMES)
def test_the_cache_changes_nothing_past_a_sliding_window(name: str) -> None:
    model = tiny_model(name)
    prompt = encode_chat(tiny_tokenizer(), [Turn("user", PROMPT)])
    assert len(prompt) > 2 * SLIDING
    assert draft(endless(model), prompt, 30).tokens == without_cache(model, prompt, 30)


@pytest.mark.parametrize("name", SLIDING_NAMES)
def test_a_cropped_cache_changes_nothing_past_a_sliding_window(name: str) -> None:
    model = tiny_model(name)
    engine = endless(model)
    prompt = encode_chat(tiny_tokenizer(), [Turn("user", PROMPT)])
    sequence = CachedSequence(engine, Budget())
    for prefix in ((), (50, 60, 70), (50, 61)):
        answer = complete(
            sequence, prompt, prefix,
            limits=AnswerLimits(max_tokens=25), sampler=Sampler(0.0), stage="refine",
        )  # fmt: skip
        rest = without_cache(model, [*prompt, *prefix], 25 - len(prefix))
        assert answer.tokens == (*prefix, *rest)


@every_dtype
def test_what_is_refined_stays_float32(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = endless(tiny_model("llama", dtype))
    answer = draft(engine, IDS, 20)
    made: list[Adam] = []

    class SeenAdam(Adam):
        def __init__(self, z: torch.Tensor, learning_rate: float) -> None:
            super().__init__(z, learning_rate)
            made.append(self)

    monkeypatch.setattr("latent_agent.search.walk.Adam", SeenAdam)
    seen: list[tuple[int, ...]] = []

    def attempt(row: Candidate) -> Trial:
        prefix = row.prefix
        seen.append(prefix)
        value = -0.5 + 0.01 * len(seen)
        return Trial(prefix=prefix, tokens=prefix, text="", score=Score(value=value), finish="stop")

    trial = Trial(
        prefix=answer.tokens[:4], tokens=answer.tokens, text="", score=Score(value=-0.5),
        finish="length",
    )  # fmt: skip
    start = Start(trial=trial, latents=answer.latents[:4])
    settings = Settings(max_iterations=3, learning_rate=0.3)
    call: Any = SimpleNamespace(
        engine=engine,
        constraint=FREE,
        attempts=lambda rows: map(attempt, rows),
        decode=engine.decode,
    )
    with Search(call, settings) as search:
        search.start_from([[start]])
        search.refine()
    (adam,) = made
    kept = [value for value in vars(adam).values() if isinstance(value, torch.Tensor)]
    assert [tensor.dtype for tensor in kept] == [torch.float32] * 3
    best = search.record.best
    assert best is not None
    assert best.latents.dtype == torch.float32
    decoded = engine.decode(best.latents, Sampler(0.0))
    assert decoded == best.trial.prefix == seen[-1]


@every_dtype
@some_models_soon
def test_a_whole_call_runs_and_leaves_the_weights_alone(name: str, dtype: torch.dtype) -> None:
    model = tiny_model(name, dtype)
    before = checksum(model)
    chat = ChatLatentSeek(
        model=model, tokenizer=tiny_tokenizer(), max_tokens=2 * SLIDING, max_iterations=3,
        learning_rate=1.0,
    )  # fmt: skip
    answers: list[str] = []

    def reward(question: str, answer: str) -> float:
        answers.append(answer)
        return -0.5

    judged = {"callable": reward, "self": SelfReward(max_tokens=3)}
    for kind, given in judged.items():
        found = chat.invoke(PROMPT, reward=given).response_metadata["latent_agent"]
        assert found["error"] is None, kind
        # A random judge may accept; a reward that never does leads to all steps.
        assert found["stopped"] == "iterations" or kind == "self"
        assert len(found["rewards"]) == found["iterations"] + 1
        assert found["forwarded_tokens"]["draft"] > 0
    assert len(set(answers)) > 1  # the search moved
    assert checksum(model) == before
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize("name", ["llama", "mistral"])
def test_judging_in_a_batch_changes_no_reply(name: str) -> None:
    """Replies in one padded batch, or one by one past a sliding window, are the plain ones."""
    model = tiny_model(name)
    engine = endless(model)
    prompts = [f"{PROMPT} {tail}" for tail in ("Yes?", "No, 7 are left, not 17!", "")]
    requests = [JudgeRequest(prompt=prompt, max_tokens=6) for prompt in prompts]
    replies = SelfJudge(engine, Budget()).ask(requests)
    for prompt, reply in zip(prompts, replies, strict=True):
        ids = encode_chat(tiny_tokenizer(), [Turn("user", prompt)])
        assert reply == engine.text(without_cache(model, ids, 6))


def test_prompts_that_share_nothing_with_those_before_are_judged_anew() -> None:
    tokenizer = copy.deepcopy(tiny_tokenizer())
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    engine = TransformersEngine(tiny_model("llama"), tokenizer)
    judge = SelfJudge(engine, Budget())
    judge.ask([JudgeRequest(prompt=PROMPT, max_tokens=6)])
    others = [JudgeRequest(prompt=prompt, max_tokens=6) for prompt in ("Is it?", "No, 7 are left.")]
    assert judge.ask(others) == SelfJudge(engine, Budget()).ask(others)


class Rescaled(LlamaForCausalLM):
    """Scales its logits in a way that no config tells of."""

    def forward(self, *args, **kwargs):  # type: ignore[override]
        output = super().forward(*args, **kwargs)
        logits: Any = output.logits
        output.logits = logits * 3.0
        return output


def test_a_head_that_is_split_wrongly_is_refused() -> None:
    config = CONFIGS["llama"]()
    assert isinstance(config, LlamaConfig)
    with pytest.raises(ModelError, match=r"Rescaled.*choose another model"):
        TransformersEngine(randomised(Rescaled(config)), tiny_tokenizer())


@pytest.mark.parametrize("config_class", [MambaConfig, RwkvConfig])
def test_a_model_without_keys_and_values_to_cache_is_refused(config_class) -> None:
    config = config_class(vocab_size=VOCABULARY_SIZE, hidden_size=32, num_hidden_layers=2)
    model = randomised(AutoModelForCausalLM.from_config(config))
    with pytest.raises(ModelError, match="choose another model"):
        TransformersEngine(model, tiny_tokenizer())
