"""A memory with a little of everything: three users, ratings, nights, priors; and keys to it."""

import json
from pathlib import Path

from latent_agent.server.keys import Right, WrittenKey, hash_of
from latent_memory import Feedback, LatentMemory, Shelf
from latent_memory.priors.nights import Result, end_night
from latent_memory.priors.priors import find_prior
from tests.chat.test_feedback import publish_untrained
from tests.support.memories import in_namespace, trace

HOSTILE = "<script>document.title = 'taken'</script><img src=x onerror=\"document.title='taken'\">"
SECRETS = {name: f"la-{name}-{'0' * 32}" for name in ("all", "ann", "bob", "looker", "asker")}
_RIGHTS = {
    "all": (None, list(Right)),
    "ann": (["ann"], list(Right)),
    "bob": (["bob"], list(Right)),
    "looker": (None, [Right.READ]),
    "asker": (None, [Right.ASK, Right.RATE]),
}


def fill(path: Path) -> dict[str, int]:
    """Fill a memory; return ids by what they are."""
    ann, bob = in_namespace("ann"), in_namespace("bob")
    with LatentMemory(path) as memory:
        ids = {
            "ann": memory.add(trace(1, shelf=ann, query="Ann's question?", answer="Ann's answer.")),
            "hostile": memory.add(trace(2, query=HOSTILE, answer=HOSTILE, stopped="<i>why</i>")),
            "bob": memory.add(trace(3, shelf=bob, query="Bob's secret?", answer="Bob's answer.")),
        }
        ids["warm"] = memory.add(
            trace(4, shelf=ann, query="Ann again?", neighbours=(ids["ann"], 999), prior="1")
        )
        ids["long"] = memory.add(
            trace(5, query="word " * 400 + "x" * 300, answer="y" * 500, settings="{" + "z" * 200)
        )
        told = json.dumps(
            {
                "turns": [
                    {"role": "system", "content": "Be brief."},
                    {"role": "user", "content": "Q?"},
                ]
            }
        )
        ids["told"] = memory.add(trace(6, query="Q?", conversation=told))
        memory.add_many(
            trace(number, shelf=ann, query=f"Ann {number}?") for number in range(10, 40)
        )
        memory.rate(ids["ann"], Feedback(score=1.0, comment="<b>fine</b>"), namespace="ann")
        memory.rate(ids["bob"], Feedback(score=0.0, correction="Bob's truth."), namespace="bob")
        for shelf in (ann, bob, ann):
            _night(memory, shelf)
    return ids


def _night(memory: LatentMemory, shelf: Shelf) -> None:
    """A night that published a prior."""
    version = publish_untrained(memory, shelf)
    means = {"steps": 1.5, "reward": -0.2, "accepted": 0.8, "at_once": 0.6, "forwarded_tokens": 120}
    gate = {
        "questions": 40,
        "contestants": {"candidate": means, "neither": {**means, "steps": 2.5}},
        "chance": {"neither": 0.003},
    }
    result = Result(
        verdict="published", reason=f"1.50 steps a question for {shelf.namespace}", seconds=61.0,
        losses=(0.9, 0.5, 0.4), gate=gate,
    )  # fmt: skip
    end_night(memory.database, find_prior(memory.database, version).night, result)


def write_keys(path: Path) -> Path:
    """Write a key for each of `SECRETS`."""
    written = [
        WrittenKey(name=name, sha256=hash_of(secret), namespaces=whose, rights=rights)
        for name, secret in SECRETS.items()
        for whose, rights in [_RIGHTS[name]]
    ]
    path.write_text(json.dumps([one.model_dump(mode="json") for one in written]), "utf-8")
    path.chmod(0o600)
    return path
