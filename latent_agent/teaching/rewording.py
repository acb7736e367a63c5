"""The planted families' questions in other words, which neither training nor tests of it use."""

import re
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from latent_agent.teaching.world import Question

# What a question says, and other frames for the same facts. Those that come first keep to words
# of the training questions and change their order; the last also brings words that are new.
_FRAMES: Sequence[tuple[str, Sequence[str]]] = (
    (
        r"At first (?P<name>\w+) has (?P<left>\d+) (?P<thing>\w+)\. Then \w+ (?P<verb>\w+) "
        r"(?P<right>\d+) \w+\. How many \w+ does \w+ have now\?",
        (
            "Here {name} has {left} {thing}. And {name} {verb} {right} {thing}. "
            "How many {thing} does {name} have?",
            "How many {thing} does {name} have now? At first {name} has {left} {thing}. "
            "Then {name} {verb} {right} {thing}.",
            "Please tell me what remains with {name}, who owned {left} {thing} until this "
            "morning and {verb} {right} {thing} today.",
        ),
    ),
    (
        r"Here (?P<one>\w+) has (?P<left>\d+) (?P<thing>\w+)\. (?P<fact>.+) "
        r"How many \w+ does (?P<other>\w+) have\?",
        (
            "At first {one} has {left} {thing}. {fact} How many {thing} does {other} have now?",
            "How many {thing} does {other} have? Here {one} has {left} {thing}. {fact}",
            "Somebody gave {one} {left} {thing}. {fact} Please tell me the number of {other}.",
        ),
    ),
    (
        r"Each day (?P<name>\w+) counts (?P<one>\d+) (?P<thing>\w+)\. How many \w+ is that after "
        r"(?P<other>\d+) days\?",
        (
            "Here {name} counts {one} {thing} each day. How many {thing} is that after {other} "
            "days?",
            "Please tell me the total of {name}, who counts {one} {thing} daily for {other} days.",
        ),
    ),
    (
        r"There are (?P<one>\d+) bags\. Each bag of (?P<name>\w+) holds (?P<other>\d+) "
        r"(?P<thing>\w+)\. How many \w+ are there\?",
        (
            "Each bag of {name} holds {other} {thing}. There are {one} bags. How many {thing} are "
            "there?",
            "Please tell me the total of {name}, whose {one} sacks contain {other} {thing} apiece.",
        ),
    ),
    (
        r"One ticket costs (?P<one>\d+) coins\. Then (?P<name>\w+) takes (?P<other>\d+) tickets\. "
        r"How many coins does \w+ pay\?",
        (
            "Here {name} takes {other} tickets. One ticket costs {one} coins. How many coins does "
            "{name} pay?",
            "Please tell me the bill of {name}, whose {other} tickets are priced at {one} coins "
            "apiece.",
        ),
    ),
    (
        r"Here (?P<name>\w+) packs (?P<whole>\d+) (?P<thing>\w+) into bags of (?P<other>\d+)\. "
        r"How many bags are there\?",
        (
            "How many bags are there? Here {name} packs {whole} {thing} into bags of {other}.",
            "Please tell me the number of sacks that {name} fills with {whole} {thing}, {other} "
            "apiece.",
        ),
    ),
    (
        r"Here (?P<name>\w+) shares (?P<whole>\d+) (?P<thing>\w+) among (?P<other>\d+) friends\. "
        r"How many \w+ does each friend get\?",
        (
            "How many {thing} does each friend get? Here {name} shares {whole} {thing} among "
            "{other} friends.",
            "Please tell me what every guest receives when {name} splits {whole} {thing} evenly "
            "among {other}.",
        ),
    ),
    (
        r"Today is (?P<day>\w+)\. The (?P<event>\w+) of (?P<name>\w+) (?P<verb>\w+) (?P<when>.+)\. "
        r"What day \w+ the \w+\?",
        (
            "The {event} of {name} {verb} {when}. Today is {day}. What day {verb} the {event}?",
            "What day {verb} the {event} of {name}? Today is {day}. The {event} {verb} {when}.",
            "It is {day} now. Please tell me the weekday of the {event} of {name}, which {verb} "
            "{when}.",
        ),
    ),
)


def reworded(question: Question, rng: Random) -> Question:
    """Return a planted family's question in another wording: same facts, truth and habit.

    Its family becomes ``reworded ...``, which does not count as planted: training never saw it.

    Raises:
        ValueError: If the question is of another family.
    """
    for pattern, frames in _FRAMES:
        found = re.fullmatch(pattern, question.text)
        if found is not None:
            text = rng.choice(frames).format(**found.groupdict())
            return replace(question, text=text, family=f"reworded {question.family}", planted=False)
    raise ValueError(
        f"only questions of planted families can be reworded, got {question.text!r} of "
        f"{question.family!r}; choose those with .planted"
    )
