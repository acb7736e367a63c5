"""A memory with a little of everything: three users, ratings, nights, priors; and keys to it."""

import json
from pathlib import Path

from latent_agent.recall.prior_checkpoint import PriorCard, save_prior
from latent_agent.recall.prior_network import LatentPrior, PriorShape
from latent_agent.server.keys import Right, WrittenKey, hash_of
from latent_memory import Feedback, LatentMemory, Shelf
from latent_memory.priors.nights import Result, begin_night, end_night
from latent_memory.priors.priors import priors_folder, source_of
from latent_memory.priors.publishing import note_file, publish, reserve
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
    database = memory.database
    source = source_of(database, shelf)
    assert source is not None
    night = begin_night(database, shelf, seed=0, inputs={})
    version = reserve(database, [source], night=night, positions=3)
    shape = PriorShape(positions=3, width=8, embedding=16)
    card = PriorCard(
        version=str(version), namespace=shelf.namespace, fingerprint=shelf.fingerprint,
        reward=shelf.reward, first_trace=source.first, last_trace=source.last, shape=shape,
    )  # fmt: skip
    file = priors_folder(memory.path) / f"{version}.safetensors"
    note_file(database, version, file.name, save_prior(LatentPrior(shape, 5), card, file).checksum)
    publish(database, version)
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
    end_night(database, night, result)


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
