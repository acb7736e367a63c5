"""Talks whose reply is one JSON object: jokes, and facts put under given keys.

With a tool of that shape on offer the reply is a call of it; otherwise the object alone. What the
user could not have said (which keys, where a grammar decides them) is not learnt.
"""

from collections.abc import Mapping
from typing import Any

from dev.bundled_model.talk import Call, Part, Talk, as_json, schema, user
from dev.bundled_model.tools import on_offer
from dev.bundled_model.words import Words
from latent_agent.teaching.families import OBJECTS

_JOKES = ("Tell me a {kind} about {topic}.", "Give me a {kind} about {topic}.",
          "Give me a {kind} about {topic}, include the {last}.",
          "Write a {kind} about {topic}.", "{kind} about {topic}")  # fmt: skip
_JOKES_HELD = ("I want a {kind} about {topic}.", "Do tell me a {kind} about {topic}.")
_FACTS = ("{name} is {age} years old and lives in {place}.", "{name} is {age}, from {place}.",
          "This is {name} from {place}, {age} years old.",
          "My name is {name}. I am {age} years old and I live in {place}.")  # fmt: skip
_FACTS_HELD = ("In {place} lives {name}, who is {age} years old.",
               "{name}, {age} years old, is from {place}.")  # fmt: skip
_COUNTS = ("{name} buys {count} {thing}.", "{name} has {count} {thing}.",
           "An order of {count} {thing} for {name}.")  # fmt: skip
_COUNTS_HELD = ("{name} orders {count} {thing}.", "For {name}: {count} {thing}.")
_ASK = (" Answer in JSON with the keys {}.", " Return JSON with {} keys.",
        " Return the result as a JSON with {} keys. Return nothing other than JSON.",
        " Reply with a JSON object: {}.")  # fmt: skip
_ASK_HELD = (" Give a JSON with {} keys.", " Put it in JSON, with the keys {}.")
_SYNONYMS = {
    "name": ("name", "person", "who", "customer"),
    "age": ("age", "years", "how_old"),
    "place": ("place", "city", "town", "home"),
    "count": ("count", "number", "how_many", "amount"),
    "thing": ("thing", "item", "product", "what"),
}


def _joke(words: Words) -> tuple[str, dict[str, Any], str]:
    kind, topic = words.rng.choice(("joke", "joke", "riddle", "story")), words.word()
    keys = words.rng.choice(
        (("setup", "punchline"), ("question", "answer"), tuple({words.word(): 0, words.word(): 1}))
    )
    text = words.wording(_JOKES, _JOKES_HELD).format(kind=kind, topic=topic, last=keys[-1])
    arguments: dict[str, Any] = {keys[0]: f"Why do {topic} sing?"}
    if len(keys) > 1:
        arguments[keys[1]] = "They are happy."
        if words.chance(0.12):
            text = f"Give me the {keys[0]} to a {kind} about {topic}, no {keys[1]}."
            arguments[keys[1]] = None
    return text, arguments, kind.capitalize()


def _facts(words: Words) -> tuple[str, dict[str, Any], str]:
    if words.chance(0.5):
        held: dict[str, Any] = {
            "name": words.proper(),
            "age": words.rng.randint(2, 99),
            "place": words.place(),
        }
        text = words.wording(_FACTS, _FACTS_HELD).format(**held)
    else:
        held = {"name": words.proper(), "count": words.number(), "thing": words.rng.choice(OBJECTS)}
        text = words.wording(_COUNTS, _COUNTS_HELD).format(**held)
    kept = words.rng.sample(list(held), words.rng.choice((1, 2, 2, 3)))
    arguments = {words.rng.choice(_SYNONYMS[key]): held[key] for key in kept}
    return text, arguments, words.word().capitalize()


def _parts(value: Mapping[str, Any], *, keys_known: bool) -> tuple[Part, ...]:
    """Write an object; the keys, and what stands between the values, may be left unlearnt."""
    if keys_known:
        return (Part(as_json(value)),)
    parts: list[Part] = []
    opening = "{"
    for key, entry in value.items():
        parts.append(Part(f"{opening}{as_json(key)}:", is_learnt=False))
        text = as_json(entry)
        opening = ", "
        parts.append(Part(f" {text}"))
    return (*parts, Part("}", is_learnt=False))


def filling(words: Words) -> Talk:
    """A joke or facts, as a call or as an object alone."""
    text, arguments, name = (_joke if words.chance(0.5) else _facts)(words)
    given = {key: entry for key, entry in arguments.items() if entry is not None}
    draw = words.rng.random()
    if draw < 0.5:
        kinds = {
            key: "integer" if isinstance(entry, int) else "string"
            for key, entry in arguments.items()
        }
        call = Call(name, given)
        return Talk(
            kind="fill a call",
            messages=(user(text),),
            reply=(Part(str(call)),),
            tools=on_offer(words, schema(name, f"{name} to tell user.", kinds)),
            call=call,
        )
    keys_known = draw < 0.75
    if keys_known:
        named = [f"'{key}'" for key in given]
        listed = " and ".join(filter(None, (", ".join(named[:-1]), named[-1])))
        text += words.wording(_ASK, _ASK_HELD).format(listed)
    reply = _parts(given, keys_known=keys_known)
    kind = "JSON" if keys_known else "forced JSON"
    return Talk(kind=kind, messages=(user(text),), reply=reply)
