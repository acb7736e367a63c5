"""Requests that a tool answers: the tool, the words that ask for it, and the call."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dev.bundled_model.talk import Call, Schema, schema
from dev.bundled_model.words import Words

_USE = ("", "", " Use the tool.", " Use a tool.", " Please use the tool.", " Use {name}.")
_USE_HELD = ("", " Do use the tool.", " Take the tool.")
_GENERAL = ("What is the value of {call}?", "What is {call}?", "What does {call} give?",
            "Call {call}.", "Compute {call}.", "Run {call} for me.", "Work out {call}.",
            "Tell me the value of {call}.", "{call}")  # fmt: skip
_GENERAL_HELD = ("Find the value of {call}.", "Give me {call}.", "Please work out {call}.",
                 "What will {call} be?")  # fmt: skip
_BY_COUNT = (
    ("Call {name}.", "Run {name}.", "What does {name} say?", "Use the tool {name}."),
    ("Call {name} with {0}.", "Apply {name} to {0}.", "Use {name} on {0}.", "Run {name} on {0}.",
     "What does {name} make of {0}?"),
    ("Call {name} with {0} and {1}.", "Apply {name} to {0} and {1}.", "Use {name} on {0} and {1}.",
     "What does {name} make of {0} and {1}?"),
)  # fmt: skip
_BY_COUNT_HELD = (
    ("Please call {name}.", "Run {name} now."),
    ("Please call {name} on {0}.", "Give {0} to {name}."),
    ("Please call {name} on {0} and {1}.", "Give {0} and {1} to {name}."),
)
_LOOKUP = ("What is the {topic} in {value}?", "What is the {topic} of {value}?",
           "Tell me the {topic} of {value}.", "What's the {topic} in {value}?",
           "Find the {topic} for {value}.", "Get the {topic} of {value}.",
           "How is the {topic} in {value}?", "{topic} of {value}",
           "I want the {topic} in {value}.")  # fmt: skip
_LOOKUP_HELD = ("Look up the {topic} for {value}.", "I need the {topic} of {value}.",
                "Do you know the {topic} in {value}?", "Show me {value}'s {topic}.")  # fmt: skip
_MAKE = ("Using the tool, {verb} a {0} {noun}.", "Use the tool to {verb} a {0} {noun}.",
         "Please {verb} a {0} {noun}.", "{Verb} a {0} {noun}.", "{verb} one {0} {noun}",
         "With the tool, {verb} the {0} {noun}.")  # fmt: skip
_MAKE_HELD = ("By using the tool, {verb} a {0} {noun}.", "Can you {verb} a {0} {noun}?",
              "Go and {verb} a {0} {noun}.")  # fmt: skip
_ENTER = ("{Verb} a {noun} named '{0}' - {1}", "{Verb} a {noun} named '{0}' ({gloss}) - {1}",
          "{Verb} a {noun} called '{0}', {1}.", "{Verb} the {noun} '{0}': {1}",
          "{Verb} a {noun}, '{0}' ({gloss}), {1}")  # fmt: skip
_ENTER_HELD = ("Please {verb} a {noun} named '{0}': {1}", "{Verb} the {noun} '{0}' ({gloss}): {1}")
_SUMS = {
    "sum": ("What is {0} + {1}", "What is {0} + {1}?", "What is {0} plus {1}?", "Add {0} and {1}.",
            "How much is {0} + {1}?"),
    "product": ("What is {0} * {1}", "What is {0} * {1}?", "What is {0} times {1}?",
                "Multiply {0} and {1}.", "How much is {0} * {1}?"),
}  # fmt: skip
_SUMS_HELD = {
    "sum": ("Tell me {0} + {1}.", "Add {0} to {1}."),
    "product": ("Tell me {0} * {1}.", "Multiply {0} by {1}."),
}
SUITE_NAMES = frozenset({"magic_function", "get_weather", "my_adder_tool", "unicode_customer"})
_VERBS = ("create", "generate", "add", "make", "open", "register", "book", "write", "build")


@dataclass(frozen=True, slots=True)
class Request:
    """What the user says, the tool that is meant, and the right call."""

    text: str
    tool: Schema
    call: Call


def _request(text: str, description: str, call: Call, kinds: Sequence[str]) -> Request:
    tool = schema(call.name, description, dict(zip(call.arguments, kinds, strict=True)))
    return Request(text, tool, call)


def _parameters(words: Words, count: int) -> list[str]:
    """Draw different names of parameters."""
    if words.chance(0.3):
        return words.rng.choice((["a", "b"], ["x", "y"], ["input", "count"], ["n", "m"]))[:count]
    first, second = words.joined(2), words.joined(1)
    return [first, second if second != first else "x"][:count]


def _number(words: Words, kind: str) -> Any:
    if kind == "integer" or words.chance(0.3):
        return words.number()
    return words.number() + words.rng.randint(1, 9) / 10


def compute(words: Words) -> Request:
    """A tool that is called by its name, with up to two numbers or a word."""
    name, count = words.joined(), words.rng.choices((0, 1, 2), (2, 5, 3))[0]
    kinds = [words.rng.choice(("integer", "integer", "number", "string")) for _ in range(count)]
    values = [words.word() if kind == "string" else _number(words, kind) for kind in kinds]
    call = Call(name, dict(zip(_parameters(words, count), values, strict=True)))
    written = f"{name}({', '.join(str(value) for value in values)})"
    form = words.wording(
        (*_GENERAL, *_BY_COUNT[count] * 2), (*_GENERAL_HELD, *_BY_COUNT_HELD[count] * 2)
    ) + words.wording(_USE, _USE_HELD)
    spoken = name.replace("_", " ")
    description = words.rng.choice(
        (f"Apply a {spoken} to an input.", f"Calculate a {spoken}.", f"The {words.word()}.", "")
    )
    return _request(form.format(*values, call=written, name=name), description, call, kinds)


def lookup(words: Words) -> Request:
    """A tool that looks something up about a place, a person or a thing."""
    topic, parameter = words.word(), words.joined(1)
    name = words.rng.choice(("get_{}", "find_{}", "{}_of", "{}", "{}_search", "current_{}"))
    value = words.rng.choice((words.place, words.place, words.proper, words.word))()
    if words.chance(0.1):
        value = words.foreign()
    parameter = words.rng.choice((parameter, parameter, "location", "city", "query", "place"))
    form = words.wording(_LOOKUP, _LOOKUP_HELD) + words.wording(("", "", "", *_USE[2:5]), _USE_HELD)
    text = form.format(topic=topic, value=value, name=name.format(topic))
    description = words.rng.choice(
        (f"Get the {topic} at a {parameter}.", f"Get {topic} of a {parameter}.",
         f"Look up the {topic}.", f"Find the {topic}.", "")
    )  # fmt: skip
    return _request(
        text[0].upper() + text[1:],
        description,
        Call(name.format(topic), {parameter: value}),
        ["string"],
    )


def make(words: Words) -> Request:
    """A tool that makes something of a certain kind."""
    noun, verb = words.word(), words.rng.choice(_VERBS)
    value = words.word()
    value = value.capitalize() if words.chance(0.5) else value
    name = words.rng.choice(("{0}_{1}or", "{1}_{0}", "{0}_tool", "{0}_maker")).format(noun, verb)
    form = words.wording(_MAKE, _MAKE_HELD)
    text = form.format(value, noun=noun, verb=verb, Verb=verb.capitalize())
    description = f"{verb.capitalize()} a {noun} in a particular {words.word()}."
    return _request(text, description, Call(name, {words.joined(2): value}), ["string"])


def enter(words: Words) -> Request:
    """A tool that takes a quoted name, in any script, and a description."""
    noun, verb = words.word(), words.rng.choice(_VERBS)
    value = words.foreign() if words.chance(0.6) else words.place()
    name = words.rng.choice((f"{verb}_{noun}", f"{words.word()}_{noun}", f"new_{noun}"))
    first = words.rng.choice((f"{noun}_name", "name", "title"))
    second = words.rng.choice(("description", "details", f"{words.word()}_text"))
    phrase = words.phrase()
    text = words.wording(_ENTER, _ENTER_HELD).format(
        value, phrase, noun=noun, verb=verb, Verb=verb.capitalize(), gloss=words.place()
    )
    call = Call(name, {first: value, second: phrase})
    return _request(text, f"Tool for {noun}s with a name.", call, ["string", "string"])


def sums(words: Words) -> Request:
    """A tool that adds or multiplies."""
    kind = words.rng.choice(("sum", "product"))
    stem = {"sum": ("add", "adder", "sum"), "product": ("multiply", "multiplier", "product")}[kind]
    name = words.rng.choice(stem)
    if words.chance(0.6):
        name = words.rng.choice((f"{words.word()}_{name}", f"{name}_tool", f"my_{name}"))
    values = words.number(), words.number()
    text = words.wording(_SUMS[kind], _SUMS_HELD[kind]).format(*values)
    call = Call(name, dict(zip(words.rng.choice(("ab", "xy", "nm")), values, strict=True)))
    description = words.rng.choice((f"Return the {kind} of two integers.", f"The {kind}.",
                                    f"Takes two integers and returns their {kind}."))  # fmt: skip
    return _request(text, description, call, ["integer", "integer"])


REQUESTS: dict[str, tuple[Callable[[Words], Request], float]] = {
    "compute": (compute, 4.0),
    "lookup": (lookup, 4.0),
    "make": (make, 1.5),
    "enter": (enter, 2.5),
    "sums": (sums, 1.0),
}


def request(words: Words) -> Request:
    """Draw a request of any kind; never for one of the tools of the standard test suites."""
    makers, weights = zip(*REQUESTS.values(), strict=True)
    maker: Callable[[Words], Request] = words.rng.choices(makers, weights)[0]
    drawn = maker(words)
    return request(words) if drawn.call.name in SUITE_NAMES else drawn


def on_offer(words: Words, *meant: Schema) -> tuple[Schema, ...]:
    """Put up to two other tools beside those that are meant, in any order."""
    tools = {tool["function"]["name"]: tool for tool in meant}
    for _ in range(words.rng.choice((0, 0, 0, 1, 1, 2))):
        other = request(words).tool
        tools.setdefault(other["function"]["name"], other)
    return tuple(words.rng.sample(list(tools.values()), len(tools)))
