"""Whether an answer states a truth: as a whole, in the kind of thing that the truth is.

A truth is a quantity (a number, with a unit or without), a formula or a text. What a parser could
read out of the middle of it never stands for it.
"""

import math
import re
import threading
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from latent_agent.reward.final_answer import plain, readings, statements

_SECONDS = 5  # to parse a formula, or to compare two
_LONGEST = 1000  # characters of a quantity or a formula

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d+)"
_QUANTITY = re.compile(
    r"(?P<sign>[-+]?) ?(?P<money>[$€£]?) ?(?P<minus>-?)"
    rf"(?:(?:(?P<whole>\d+) )?(?P<over>{_DIGITS}) ?/ ?(?P<under>{_DIGITS})"
    rf"|(?P<beside>\d+)? ?\\frac ?\{{(?P<top>{_DIGITS})\}} ?\{{(?P<bottom>{_DIGITS})\}}"
    rf"|(?P<decimal>{_DIGITS}?\.\d+|{_DIGITS}\.?)(?P<power>e[-+]?\d{{1,3}})?)"
    r"(?P<unit> ?[%°$€£]|(?: ?(?:[kcm]m|[km]g|ml|ft|lb|hr|min|st|nd|rd|th|[ap]m)\b"
    r"| (?:[mghsl]\b|[^\W\d_]{2,}))[^\d\\=]*[23]?)?",
    re.IGNORECASE,
)
_SIGNS = {"percent": "%", "per cent": "%", "degree": "°", "dollar": "$", "euro": "€"}
_SCALES = re.compile(r"\b(?:hundred|thousand|million|billion|trillion|pi|or|to|and)\b")

_COMMAND = re.compile(r"\\(?:begin|end)\s*\{\w+\*?\}|\\[a-zA-Z]+")
_WORD = re.compile(r"[^\W\d_]{2}")
_OPERATOR = re.compile(r"[\d\\^=+*/<>|!]")
# 3 4, which math-verify adds up; 5:30; a number to a base; dates, ranges, versions; and numbers so
# large that to write them out would hold up every thread: 9^{9^9}, 99999!.
_NO_FORMULA = re.compile(
    r"(?<![_^\d])\d+ \d|\d ?: ?\d|\d_|\A[\d ./-]+\Z"
    r"|\^ ?\{? ?\d+ ?\^|\^ ?\{? ?-?[\d,]{5}|\d{5} ?!|\! ?!"
)


@dataclass(frozen=True)
class Quantity:
    """A number with its unit; the unit is empty where there is none."""

    value: Fraction
    unit: str

    @property
    def decimal(self) -> bool:
        """Whether it has a finite decimal form."""
        return not pow(10, self.value.denominator.bit_length(), self.value.denominator)

    @property
    def formula(self) -> str:
        """The number as LaTeX."""
        return f"\\frac{{{self.value.numerator}}}{{{self.value.denominator}}}"


def same_answer(truth: str, answer: str) -> bool:
    """Whether what an answer states in the end is a truth.

    Equal texts always are; case, spaces, ``$..$``, a box, bold and a full stop do not count.
    Quantities are equal by number and unit; a truth's worded unit must be stated, a sign (%, °, $)
    may be left out. Formulas are compared by ``math-verify``.
    """
    whole = plain(truth)
    if same_text(whole, plain(answer)):
        return True
    return any(_same(whole, reading) for reading in readings(answer))


def same_text(one: str, other: str) -> bool:
    """Whether two plain texts are equal but for case and spaces next to signs."""
    return _key(one) == _key(other)


def vote(answer: str) -> str | None:
    """Return what an answer states in one form, so that 0.5 and 1/2 are one vote; None: nothing."""
    for one in readings(answer):
        if (number := quantity(one)) is not None:
            return _short(number.value)
        if is_formula(one) and (parsed := _parsed(one)):
            return _short(parsed[0])
    stated = statements(answer)
    return _key(stated[0]) if stated else None


def quantity(text: str) -> Quantity | None:
    """Return the quantity that a plain text as a whole is; None if it is none."""
    match = _QUANTITY.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None or (match["unit"] and _SCALES.search(match["unit"].casefold())):
        return None
    whole, over, under = (
        int((match[one] or match[other] or "0").replace(",", ""))
        for one, other in (("whole", "beside"), ("over", "top"), ("under", "bottom"))
    )
    if match["decimal"]:
        digits = match["decimal"].replace(",", "").rstrip(".")
        value = Fraction(digits + (match["power"] or ""))
    elif under:
        value = whole + Fraction(over, under)
    else:
        return None
    negative = (match["sign"] == "-") != (match["minus"] == "-")
    return Quantity(-value if negative else value, _unit(match["money"] or match["unit"] or ""))


def _unit(written: str) -> str:
    unit = written.strip().casefold().removesuffix("s")
    return _SIGNS.get(unit, unit)


def is_formula(text: str) -> bool:
    """Whether a plain text as a whole is a formula: signs and single letters, no words."""
    return bool(
        len(text) <= _LONGEST
        and _OPERATOR.search(text)
        and text.count("{") == text.count("}")
        and not _NO_FORMULA.search(text)
        and not _WORD.search(_COMMAND.sub(" ", text))
    )


def _same(truth: str, said: str) -> bool:
    if same_text(truth, said):
        return True
    known, number = quantity(truth), quantity(said)
    if known and number:
        return _same_quantity(known, number)
    if known:
        return not known.unit and is_formula(said) and _same_formula(known.formula, said)
    if number:  # x = 5 is not 5, but 2^5 is 32
        apart = not number.unit and said not in truth
        return apart and is_formula(truth) and _same_formula(truth, number.formula)
    return is_formula(truth) and is_formula(said) and _same_formula(truth, said)


def _same_quantity(truth: Quantity, said: Quantity) -> bool:
    if (truth.unit == "%") != (said.unit == "%"):
        hundred = [one.value / (100 if one.unit == "%" else 1) for one in (truth, said)]
        if hundred[0] == hundred[1]:
            return True
    left_out = not said.unit and truth.unit in tuple("%°$€£")
    if truth.unit and truth.unit != said.unit and not left_out:
        return False
    if truth.decimal == said.decimal:
        return truth.value == said.value
    return math.isclose(truth.value, said.value, rel_tol=2e-6)  # 0.333333 for 1/3


def _same_formula(truth: str, said: str) -> bool:
    import math_verify

    gold, stated = _parsed(truth), _parsed(said)
    return bool(
        gold and stated and math_verify.verify(gold, stated, timeout_seconds=_limit())
    )  # the truth first: it is not symmetric


def _parsed(text: str) -> list[Any]:
    import math_verify

    return math_verify.parse(f"\\boxed{{{text}}}", parsing_timeout=_limit())


def _limit() -> int:
    """Return the seconds that math-verify may take; its timeouts are signals of the main thread."""
    return _SECONDS if threading.current_thread() is threading.main_thread() else 0


def _key(text: str) -> str:
    text = re.sub(r"\s*([^\w\s,])\s*|\s*(,)\s*(?!\d)", r"\1\2", text)
    text = re.sub(r"\A\(([A-Za-z])\)\Z", r"\1", text)  # a choice's letter
    return text if "\\" in text else text.casefold()


def _short(value: Any) -> str:
    try:
        return f"{float(value):.10g}"
    except (TypeError, ValueError, OverflowError, AttributeError):
        return str(value)
