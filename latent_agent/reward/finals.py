"""What an answer states in the end, in one form: so are votes counted and choices compared.

The one place for it: rewards and evaluation both read answers by this.
"""

import re
from collections.abc import Sequence

from latent_agent.reward.equivalence import same_text, vote
from latent_agent.reward.final_answer import plain, statements

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LETTER = re.compile(r"(?:\(([A-Za-z])\)|([A-Za-z])[.:)])(?:\s.*)?|([A-Za-z])")
_NAMED = re.compile(
    r"(?i:(?:answer|choice|option)(?:\s+is)?)\s*:?\s*\**\(?([A-Z])\b(?!')"
    r"(?!(?<=[AI])\s+(?!(?:because|since|as|is|for)\b)[a-z])"  # A dog
    r"(?!\s*(?:or|and|,|/|&)\s*\(?[A-Z]\b)"  # A or B
)
_ALONE = re.compile(
    r"(?<!\bor)(?<!\band)(?<!\bnot)(?<!,)(?:^|\s)\(?([A-Z])[).]?\**\s*$", re.MULTILINE
)
_OFFERED = re.compile(r"^\s*\(?([A-Z])[.)]\s+(\S.*?)\s*$", re.MULTILINE)


def final_in(question: str, answer: str) -> str | None:
    """Return what an answer states in the end, in one form; None: nothing.

    Where the question offers choices, each on a line of its own behind a letter, it is the letter
    of one of them; else a number, a formula or a text, so that 0.5 and 1/2 are one.
    """
    choices = choices_in(question)
    return chosen(choices, answer) if choices else vote(answer)


def choices_in(question: str) -> tuple[str, ...]:
    """Return the texts of the choices that a question ends with, two or more; () if it has none."""
    offered = _OFFERED.findall(question)
    starts = [place for place, (letter, _) in enumerate(offered) if letter == "A"]
    found = offered[starts[-1] :] if starts else []
    in_order = len(found) > 1 and "".join(letter for letter, _ in found) in LETTERS
    return tuple(text for _, text in found) if in_order else ()


def chosen(choices: Sequence[str], answer: str) -> str | None:
    """Return the letter of the choice that an answer settles on; None: of none."""
    known = LETTERS[: len(choices)]
    for said in statements(answer):
        if (letter := _letter(said)) and letter in known:
            return letter
        for letter, choice in zip(known, choices, strict=True):
            if same_text(plain(choice), said):
                return letter
    for pattern in (_NAMED, _ALONE):
        letters = [letter for letter in pattern.findall(answer) if letter in known]
        if letters:
            return letters[-1]
    return None


def _letter(said: str) -> str | None:
    """Return the letter of "B", "(B) green" and "B. green"."""
    match = _LETTER.fullmatch(said)
    return next(filter(None, match.groups())).upper() if match else None
