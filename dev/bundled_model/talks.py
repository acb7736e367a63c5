"""Talks of one or two turns, the mixture of all talks, and how such a reply is judged."""

from collections.abc import Callable
from dataclasses import replace

from dev.bundled_model.examples import Example, taught_answer
from dev.bundled_model.json_talks import filling
from dev.bundled_model.judging import CHECKS, GRADES, judge_prompt
from dev.bundled_model.talk import Message, Talk, assistant, plain, user
from dev.bundled_model.tool_talks import (
    answering,
    calling,
    calling_again,
    forced,
    greeting,
    needing_none,
    told_what_it_is,
)
from dev.bundled_model.tools import on_offer, request
from dev.bundled_model.words import Words
from latent_agent.model.conversation import Turn, transcript
from latent_agent.teaching.corpus import draw_question
from latent_agent.teaching.families import NAMES, OBJECTS, calculate
from latent_agent.teaching.world import Road, Step

_MY_NAME = ("My name is {}.", "I am {}.", "I'm {}.", "Hi, I'm {}.", "Hello, my name is {}.",
            "Hi! My name is {}.")  # fmt: skip
_MY_NAME_HELD = ("Please note that my name is {}.", "Hey, I am {}!")
_ASK_NAME = ("What is my name?", "What's my name?", "Who am I?", "Do you know my name?",
             "And what is my name?")  # fmt: skip
_ASK_NAME_HELD = ("Now tell me, what is my name?", "Can you say my name?")
_HAVE = ("I have {} {}.", "I own {} {}.", "There are {} {} in my bag.", "I've got {} {}.")
_HAVE_HELD = ("On my table I have {} {}.", "I keep {} {}.")
_ASK_HAVE = ("How many {} do I have?", "And how many {} are there?", "How many {}?")
_ASK_HAVE_HELD = ("Tell me how many {} I have.", "How many {} was that?")
_BEFORE = ("And what was the answer before?", "What was the answer?", "What did you say?",
           "What was your answer before?", "Say the answer again.")  # fmt: skip
_BEFORE_HELD = ("Can you say the answer again?", "And the answer was?")
_ASK_FACT = ("What is the {0} of {1}?", "What is {1}'s {0}?", "Tell me the {0} of {1}.",
             "And what is the {0} of {1}?")  # fmt: skip
_ASK_FACT_HELD = ("Do you know the {0} of {1}?", "The {0} of {1}, what is it?")
_SAY = ("Say {}.", "Repeat: {}", "Say the words {}", "Please say {}.", "Repeat the word {}.")
_SAY_HELD = ("Repeat after me: {}", "Can you say {}?")
_SYSTEMS = ("You are a helpful assistant.", "Be brief.", "Answer the question.", "You are kind.",
            "Answer from the context.", "You are a chatbot. Answer in one sentence.")  # fmt: skip
_FOLLOW = {"buys": "+", "gets": "+", "picks": "+", "drops": "-", "spends": "-"}
_ASK_FOLLOW = ("How many has {0}?", "How many {1} does {0} have now?", "How many are there now?")


def _told_then_asked(words: Words, told: str, said: str, asked: str, reply: str, kind: str) -> Talk:
    """Told something and asked back, in two turns or in one."""
    truth = reply.rstrip(".").split(" is ")[-1].removeprefix("You have ")
    if words.chance(0.15):
        return plain(kind, [user(f"{told} {asked}")], reply, truth)
    return plain(kind, [user(told), assistant(said), user(asked)], reply, truth)


def own_name(words: Words) -> Talk:
    """The user's name."""
    name = words.proper()
    told = words.wording(_MY_NAME, _MY_NAME_HELD).format(name)
    if words.chance(0.2):
        return plain("name given", [user(told)], f"Hello, {name}.", truth=f"Hello, {name}")
    asked = words.wording(_ASK_NAME, _ASK_NAME_HELD)
    return _told_then_asked(words, told, f"Hello, {name}.", asked, f"Your name is {name}.", "name")


def belongings(words: Words) -> Talk:
    """How many of something the user has."""
    thing = words.rng.choice(OBJECTS) if words.chance(0.5) else f"{words.word()}s"
    count = words.number()
    told = words.wording(_HAVE, _HAVE_HELD).format(count, thing)
    said = f"You have {count} {thing}."
    asked = words.wording(_ASK_HAVE, _ASK_HAVE_HELD).format(thing)
    return _told_then_asked(words, told, said, asked, said, "belongings")


def facts(words: Words) -> Talk:
    """A fact among a few that were told, as a context or by the user."""
    told = [(words.word(), words.proper(), words.rng.choice((words.word, words.place))())
            for _ in range(words.rng.choice((1, 2, 2, 3)))]  # fmt: skip
    topic, owner, value = words.rng.choice(told)
    lines = [f"The {one} of {other} is {what}." for one, other, what in told]
    asked = words.wording(_ASK_FACT, _ASK_FACT_HELD).format(topic, owner)
    reply = f"The {topic} of {owner} is {value}."
    draw = words.rng.random()
    if draw < 0.3:
        return _told_then_asked(words, " ".join(lines), "I see.", asked, reply, "fact")
    context = words.rng.choice(("\n", "\n\n", " ")).join(lines)
    text = words.rng.choice(
        ("Context: {}\nQuestion: {}", "Context:\n{}\n\nQuestion: {}", "{}\n\n{}",
         "Answer from the context.\n\n{}\n\nQuestion: {}")
    ).format(context, asked)  # fmt: skip
    return plain("fact", [user(text)], reply, truth=value)


def answer_before(words: Words) -> Talk:
    """A question of the world, its answer, and the question what that was."""
    question = draw_question(words.rng, "test" if words.new_words else "train")
    road = taught_answer(words.rng, question)
    messages = [user(question.text), assistant(str(road))]
    asked = words.wording(_BEFORE, _BEFORE_HELD)
    return plain("answer before", [*messages, user(asked)], f"The answer is {road.final}.",
                 truth=road.final)  # fmt: skip


def follow_up(words: Words) -> Talk:
    """A further step on the result of a first one."""
    rng = words.rng
    name, thing, count = rng.choice(NAMES), rng.choice(OBJECTS), rng.randint(11, 89)
    verb = rng.choice(list(_FOLLOW))
    more = rng.randint(2, 9) if words.chance(0.5) else rng.randint(2, 10)
    final = calculate(count, _FOLLOW[verb], more)
    before = draw_question(rng, "train", ("story",))
    told = user(f"{name} has {count} {thing}."), assistant(f"{name} has {count} {thing}.")
    if words.chance(0.6) and before.truth.isdigit() and int(before.truth) > more:
        name, thing, count = before.key[1], before.text.split()[5].rstrip("."), int(before.truth)
        final = calculate(count, _FOLLOW[verb], more)
        told = user(before.text), assistant(str(before.right))
    plan = "add" if _FOLLOW[verb] == "+" else "subtract"
    road = Road(plan, (Step(f"{count} {_FOLLOW[verb]} {more}", str(final)),), str(final))
    asked = rng.choice(_ASK_FOLLOW).format(name, thing)
    text = rng.choice(("Now {} {} {} more. {}", "Then {} {} {}. {}", "Now {} {} {}. {}"))
    text = text.format(name, verb, more, asked)
    if _FOLLOW[verb] == "-":
        text = text.replace(" more.", ".")
    return plain("follow-up", [*told, user(text)], str(road), truth=str(final))


def repeating(words: Words) -> Talk:
    """Words to be said again: copying, and nothing else."""
    draw = words.rng.random()
    if draw < 0.4:
        text = words.joined()
    elif draw < 0.7:
        text = " ".join(words.word() for _ in range(words.rng.choice((1, 2, 3))))
    elif draw < 0.85:
        text = words.place()
    else:
        text = words.foreign()
    asked = words.wording(_SAY, _SAY_HELD).format(text)
    return plain("repeat", [user(asked)], f"{text}.", truth=text)


def small_talk(words: Words) -> Talk:
    """A greeting, alone or after another one."""
    if words.chance(0.5):
        return told_what_it_is(words)
    (first, said), (second, reply) = greeting(words), greeting(words)
    if words.chance(0.3):
        said = first  # who speaks for the assistant may have said anything
    messages = [user(first), assistant(said), user(second)]
    return plain("greeting", messages, reply, truth=reply[:-1])


PLAIN: dict[Callable[[Words], Talk], float] = {
    own_name: 3.0,
    belongings: 1.5,
    facts: 3.0,
    answer_before: 1.5,
    follow_up: 2.0,
    repeating: 1.0,
    small_talk: 1.5,
}
TOOLS: dict[Callable[[Words], Talk], float] = {
    calling: 12.0,
    answering: 3.5,
    calling_again: 2.0,
    needing_none: 2.5,
    forced: 1.5,
    filling: 4.0,
}


def _dressed(words: Words, talk: Talk) -> Talk:
    """Set a system message in front, or offer tools that are not needed, now and then."""
    messages: tuple[Message, ...] = talk.messages
    if words.chance(0.2):
        messages = ({"role": "system", "content": words.rng.choice(_SYSTEMS)}, *messages)
    tools = talk.tools
    if talk.kind in ("name", "name given", "fact", "greeting") and words.chance(0.15):
        tools = on_offer(words, request(words).tool)
    return replace(talk, messages=messages, tools=tools)


def draw_talk(words: Words) -> Talk:
    """Draw a talk of any kind."""
    mixture = {**PLAIN, **TOOLS}
    return _dressed(words, words.rng.choices(list(mixture), list(mixture.values()))[0](words))


def _wrong_words(words: Words, truth: str) -> str:
    """Other words in the place of those that count."""
    if truth.isdigit():
        return str(words.number() + 1) if words.chance(0.5) else truth[::-1]
    return words.rng.choice((words.word, words.proper, lambda: "nothing"))()


def judged_talk(words: Words) -> Example:
    """Judge a reply of a talk: right as often as wrong."""
    mixture = {**PLAIN, answering: 3.0}
    talk = words.rng.choices(list(mixture), list(mixture.values()))[0](words)
    said = talk.truth if words.chance(0.5) else _wrong_words(words, talk.truth)
    is_right = said == talk.truth
    kind = words.rng.choices(("Check", "Grade", "Quick"), (0.6, 0.2, 0.2))[0]
    name = words.rng.choice(GRADES if kind == "Grade" else CHECKS)
    work = f"Work {talk.truth}. It says {said}."
    reply = {
        "Check": f"{work} {is_right}",
        "Grade": f"{work} Score {int(is_right)}",
        "Quick": f" {is_right}",
    }[kind]
    turns = [Turn(message["role"], message["content"]) for message in talk.messages]
    answer = talk.text.replace(talk.truth, said)
    return Example(judge_prompt(kind, name, transcript(turns), answer), reply, is_judging=True)
