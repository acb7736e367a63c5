"""Talks with tools: calls, replies to results, and questions that need no tool."""

from typing import Any

from dev.bundled_model.examples import taught_answer
from dev.bundled_model.talk import Call, Message, Part, Talk, as_json, assistant, plain, user
from dev.bundled_model.tools import Request, on_offer, request
from dev.bundled_model.words import Words
from latent_agent.teaching.corpus import draw_question

_KEYS = ("result", "value", "output", "answer")
_ERRORS = ("Error: {} is missing.", "Error: {}", "Error: missing argument '{}'.",
           "Error: invalid {}. Please fix your mistakes.")  # fmt: skip
GREETINGS = {
    "Hello": "Hello.",
    "Hi": "Hello.",
    "How are you": "I am well.",
    "Thank you": "You are welcome.",
    "Thanks": "You are welcome.",
    "Good morning": "Good morning.",
    "Goodbye": "Goodbye.",
    "Bye": "Goodbye.",
}


def greeting(words: Words) -> tuple[str, str]:
    """Draw a greeting and what to say to it."""
    text = words.rng.choice(list(GREETINGS))
    reply = GREETINGS[text]
    text = text.lower() if words.chance(0.3) else text
    return text + words.rng.choice(("?", "") if "are" in text else ("", ".", "!")), reply


def call_reply(kind: str, messages: list[Message], asked: Request, tools: Any) -> Talk:
    """A talk that ends with a call."""
    return Talk(
        kind=kind,
        messages=tuple(messages),
        reply=(Part(str(asked.call)),),
        tools=tools,
        call=asked.call,
    )


def calling(words: Words) -> Talk:
    """A request, and the call that it asks for; at times after an earlier exchange."""
    asked = request(words)
    before: list[Message] = []
    if words.chance(0.12):
        text, reply = greeting(words)
        before = [user(text), assistant(reply)]
    return call_reply("call", [*before, user(asked.text)], asked, on_offer(words, asked.tool))


def _value(words: Words) -> str:
    return str(words.number()) if words.chance(0.6) else words.word()


def _result(words: Words) -> tuple[str, str, str]:
    """Draw a tool's result, the reply to it, and the words that count."""
    draw = words.rng.random()
    if draw < 0.25:
        text = words.rng.choice(("It's {}.", "It is {}.", "The {} is {}.", "{} and {}."))
        text = text.format(words.word(), words.word())
        text = text[0].upper() + text[1:]
        return text, text, text[:-1]
    if draw < 0.35:
        text = words.rng.choice(_ERRORS).format(words.joined(2))
        return text, "That did not work.", "did not work"
    value = _value(words)
    if draw < 0.6:
        given: Any = int(value) if value.isdigit() else value
        return as_json({words.rng.choice(_KEYS): given}), f"The answer is {value}.", value
    return value, f"The answer is {value}.", value


def _called(words: Words) -> tuple[list[Message], Request, tuple[str, str, str]]:
    asked, (result, reply, truth) = request(words), _result(words)
    made = asked.call.message()
    if words.chance(0.1):
        made["content"] = "some text"
    messages = [user(asked.text), made, {"role": "tool", "content": result}]
    return messages, asked, (result, reply, truth)


def answering(words: Words) -> Talk:
    """What to say once the tool has given its result."""
    messages, asked, (_, reply, truth) = _called(words)
    return Talk(
        kind="result",
        messages=tuple(messages),
        reply=(Part(reply),),
        tools=on_offer(words, asked.tool),
        truth=truth,
    )


def calling_again(words: Words) -> Talk:
    """A second request, for the same kind of tool, after the first was answered."""
    messages, asked, (result, reply, _) = _called(words)
    said = result if words.chance(0.3) else reply
    again = request(words)
    tools = (asked.tool, again.tool) if words.chance(0.5) else (again.tool, asked.tool)
    if asked.tool["function"]["name"] == again.tool["function"]["name"]:
        return calling_again(words)
    return call_reply("call again", [*messages, assistant(said), user(again.text)], again, tools)


def needing_none(words: Words) -> Talk:
    """Tools on offer, but a question of the world or a greeting: a plain answer."""
    tools = on_offer(words, request(words).tool)
    if words.chance(0.3):
        text, reply = greeting(words)
    else:
        question = draw_question(words.rng, "test" if words.new_words else "train")
        text, reply = question.text, str(taught_answer(words.rng, question))
    return Talk(kind="no call", messages=(user(text),), reply=(Part(reply),), tools=tools)


def _made_up(kind: str) -> Any:
    """An argument that nothing in the talk gives."""
    return {"integer": 1, "number": 1}.get(kind, "none")


def forced(words: Words) -> Talk:
    """A call that is forced though nothing asks for it: its strings and numbers must end."""
    asked = request(words)
    kinds = asked.tool["function"]["parameters"]["properties"]
    arguments = {name: _made_up(kinds[name]["type"]) for name in asked.call.arguments}
    call = Call(asked.call.name, arguments)
    start, name, rest = str(call).partition(f'"{call.name}"')
    text, _ = greeting(words)
    return Talk(
        kind="forced call",
        messages=(user(text),),
        reply=(Part(start, is_learnt=False), Part(name + rest)),
        tools=on_offer(words, asked.tool),
        call=call,
    )


def told_what_it_is(words: Words) -> Talk:
    """A greeting without tools."""
    text, reply = greeting(words)
    return plain("greeting", [user(text)], reply, truth=reply[:-1])
