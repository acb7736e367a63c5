"""Every equation that an answer states, recomputed."""

import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

from latent_agent.errors import SettingError
from latent_agent.reward.arithmetic import NoArithmeticError, value_of
from latent_agent.reward.base import Case, Reward, Score, built_in_id

_LONGEST = 20_000  # characters of an answer that are read
_MOST = 200  # equations that are recomputed

_REWRITTEN = (
    (re.compile(r"(?m)^[ \t]*(?:[-–*•]|\d{1,2}[.)])[ \t]+"), ""),  # the head of a list's line
    (re.compile(r"(?<=\d),(?=\d{3}(?!\d))|\{,\}|\\[!,;:]"), ""),
    (re.compile(r"\\(?:times|cdot|ast)(?![a-zA-Z])|[×·∙⋅]"), "*"),
    (re.compile(r"\\div(?![a-zA-Z])|÷"), "/"),
    (re.compile(r"[−–]"), "-"),
    (re.compile(r"\\(?:left|right|displaystyle)(?![a-zA-Z])"), ""),
    (re.compile(r"(?<=\d)[ \t]*(?=\\[dt]?frac)"), "_"),  # 1\frac{1}{2} is mostly no product
    (re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}"), r"((\1)/(\2))"),
    (re.compile(r"\\(?:text|mathrm|mbox|textbf)\s*\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"\\boxed\s*\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\^\s*\{([^{}]*)\}"), r"^(\1)"),
    (re.compile(r"\\?[$€£]"), ""),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"\\[\[\]()]"), "\n"),
    (re.compile(r"(?<!\w)\*\*|\*\*(?!\w)"), ""),  # bold; 2**3 is none
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"(?<=[\d)%])[ \t]*[xX][ \t]*(?=[\d(.])"), "*"),
)
# Of 1,5 and 1.500,75; then no comma and no dot before three digits is certain to be what it is.
_DECIMAL_COMMA = re.compile(r"(?<![\d,])\d+(?:,|\{,\})\d{1,2}(?![\d,])")
_UNCERTAIN = re.compile(r"(?<=\d)(?:,|\{,\}|\.(?=\d{3}(?!\d)))(?=\d)")
_UNIT = re.compile(r"(?<=[\d)])\s*\\(?:text|mathrm|mbox)\s*\{([^{}\d]*)\}")
_SCALE = re.compile(r"hundred|thousand|illion|dozen|percent|half|times", re.IGNORECASE)
_SIDE = r"[\d.+\-*/^()% \t]{1,200}"
_CHAIN = re.compile(rf"{_SIDE}(?:(?<![=<>!:])=(?!=){_SIDE})+")
_OPERATOR = re.compile(r"(?<=[\d)%.])\s*[-+*/^(]")
_NUMBER = re.compile(r"-?\d*\.?\d*")
# What stands directly before or after a side and makes it a part of something else: 2x + 3 = 7,
# half of 6 + 4 = 7, 5 = 3 + y, 5 = 2 more than 3.
_BEFORE = re.compile(
    r"(?:[^\s(\[{,;`'\"<>=*|]|\b(?:of|times|plus|minus|by|than|less|more|[a-zA-Z])\s+)\Z"
)
_WORD_BEFORE = re.compile(r"[\w)\]}]\s*\Z")
_AFTER = re.compile(
    r"[\w({\\]|\s+(?:of|times|plus|minus|multiplied|divided|more|less|hundred|thousand|million|[a-zA-Z]\b)"
    r"|\s+[¼-¾⅐-⅞]|\s+and\s+(?:(?:a|one)\s+half|\d+\s*/\s*\d+(?!\s*[-+*/=\d]))"  # mixed numbers
)


class EquationReward(Reward):
    """The share of an answer's equations that are right, minus 1, recomputed exactly.

    An equation is arithmetic on both sides of ``=``, with an operator on one of them: ``3 * 4 =
    12``, also in LaTeX. A side that is rounded is right if it is so at its last decimal. What
    holds letters is left out: a formula, a conversion of units. So is what can be read in two ways:
    mixed numbers (1 1/2), decimal commas (1,5), a line with different units. Where one side cannot
    be computed within bounds, the equation is left out too.

    Args:
        without: What an answer scores that states no equation: nothing was found right or wrong.
        threshold: Above it an answer is accepted; None: the settings say.
    """

    reads_model = False

    def __init__(self, *, without: float = -0.5, threshold: float | None = None) -> None:
        if not -1 <= without <= 0:
            raise SettingError(f"without must lie in [-1, 0], got {without!r}; take -0.5")
        self._without, self.threshold = without, threshold

    @property
    def id(self) -> str:
        """What is scored where there is no equation."""
        return built_in_id(self, without=self._without)

    def score(self, case: Case) -> Score:
        """Recompute the answer's equations."""
        found = [right for _, right in equations(case.answer)]
        if not found:
            return Score(value=self._without, checks={"equations": 0.0})
        share = sum(found) / len(found)
        return Score(value=share - 1.0, checks={"equations": float(len(found)), "right": share})


def equations(answer: str) -> list[tuple[str, bool]]:
    """Return the equations that an answer states, each with whether it is right.

    Not more than 200, of the first 20,000 characters; of ``a = b = c`` there are two.
    """
    text = "\n".join(map(_without_units, answer[:_LONGEST].split("\n")))
    if _DECIMAL_COMMA.search(text):
        text = _UNCERTAIN.sub("_", text)
    for pattern, to in _REWRITTEN:
        text = pattern.sub(to, text)
    found: list[tuple[str, bool]] = []
    for one in _stated(text):
        found.append(one)
        if len(found) == _MOST:
            break
    return found


def _without_units(line: str) -> str:
    r"""Drop units such as ``\text{ days}`` behind numbers, where they change no value.

    They may where there are different ones: 3 hours - 150 minutes, 2 hours / 30 minutes. Those that
    a rate names cancel out, unless they are added: 6 hours/day * 7 days = 42 hours.
    """
    units = {unit.strip() for unit in _UNIT.findall(line)}
    bare = _UNIT.sub("", line)
    rates = {part.strip(" s") for unit in units if "/" in unit for part in unit.split("/")}
    cancel = {unit.strip(" s") for unit in units if "/" not in unit} <= rates
    mixed = len(units) > 1 and (not cancel or re.search(r"[-+−–]", bare))
    return line if mixed or any(map(_SCALE.search, units)) else bare


def _stated(text: str) -> Iterator[tuple[str, bool]]:
    for chain in _CHAIN.finditer(text):
        sides = [side.strip() for side in chain.group().split("=")]
        values = [_side(side) for side in sides]
        if not _stands_alone(text, chain.start() + _indent(chain.group()), sides[0]):
            values[0] = None
        if _AFTER.match(text, chain.start() + len(chain.group().rstrip())):
            values[-1] = None
        for (one, ones), (other, others) in pairwise(zip(sides, values, strict=True)):
            calculated = _OPERATOR.search(one) or _OPERATOR.search(other)
            if ones is not None and others is not None and calculated:
                yield f"{one} = {other}", _same(one, ones, other, others)


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip())


def _stands_alone(text: str, start: int, side: str) -> bool:
    """Whether a side is not the end of something longer that begins before it."""
    before = text[max(0, start - 20) : start]
    if side[:1] in ("+", "-") and _WORD_BEFORE.search(before):  # 5 apples + 3 = 8
        return False
    return not _BEFORE.search(before)


def _side(side: str) -> Fraction | None:
    try:
        return value_of(side.rstrip("."))
    except NoArithmeticError:
        return None


def _same(one: str, ones: Fraction, other: str, others: Fraction) -> bool:
    if ones == others or _percent(one, ones) == others or ones == _percent(other, others):
        return True
    return _rounded(one, ones, others) or _rounded(other, others, ones)


def _percent(side: str, value: Fraction) -> Fraction:
    """Return 25 for "25%", which 3 / 12 * 100 is; the value for anything else."""
    return value * 100 if side.endswith("%") else value


def _rounded(side: str, stated: Fraction, exact: Fraction) -> bool:
    """Whether a side is a decimal that another value was rounded or cut to."""
    digits = side.rstrip(".").rstrip("%")
    if not _NUMBER.fullmatch(digits) or "." not in digits:
        return False
    step = Fraction(1, 10 ** len(digits.partition(".")[2]))
    if side.rstrip(".").endswith("%"):  # 33.33%, of 1/3 or of 1/3 * 100
        return abs(100 * stated - 100 * exact) < step or abs(100 * stated - exact) < step
    return abs(stated - exact) < step
