"""Exact arithmetic on written expressions, in bounded time and memory.

A parser of its own over fractions, and nothing else: what is not plain arithmetic is refused, and
so is what would grow too large to be worth it.
"""

import re
from fractions import Fraction

_LONGEST = 200  # characters of an expression
_DIGITS = 40  # of a number
_DEPTH = 16  # of brackets, signs and powers, one in another
_POWER = 64  # largest exponent
_BITS = 2048  # of a numerator or denominator

_TOKEN = re.compile(
    rf"\s*(?:(\d{{1,{_DIGITS}}}(?:\.\d{{0,{_DIGITS}}})?|\.\d{{1,{_DIGITS}}})|([-+*/^()%]))"
)


class NoArithmeticError(ValueError):
    """A text is no arithmetic, divides by zero, or is too large to be computed."""


def value_of(text: str) -> Fraction:
    """Return the exact value of an expression.

    Numbers, ``+ - * / ^``, brackets, and ``%`` behind a number; a number before a bracket
    multiplies it. ``^`` takes whole exponents and binds to the right, as in -2^2 = -4.

    Raises:
        NoArithmeticError: If it is something else, or too large.
    """
    if len(text) > _LONGEST:
        raise NoArithmeticError("too long")
    parser = _Parser(_tokens(text.strip()))
    value = parser.sum(0)
    if not parser.at_end:
        raise NoArithmeticError("more than one expression")
    return value


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise NoArithmeticError("no arithmetic")
        tokens.append(match[1] or match[2])
        place = match.end()
        if match[1] and text[place : place + 1].isdigit():
            raise NoArithmeticError("a number that is too long")
    return tokens


class _Parser:
    """Recursive descent, one method for each level of binding."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens, self._place = tokens, 0

    @property
    def at_end(self) -> bool:
        """Whether all was read."""
        return self._place == len(self._tokens)

    def _peek(self) -> str:
        return "" if self.at_end else self._tokens[self._place]

    def _take(self) -> str:
        token = self._peek()
        self._place += 1
        return token

    def sum(self, depth: int) -> Fraction:
        """Terms with + and - between them."""
        value = self._product(depth)
        while self._peek() in ("+", "-"):
            sign = 1 if self._take() == "+" else -1
            value = _bounded(value + sign * self._product(depth))
        return value

    def _product(self, depth: int) -> Fraction:
        value = self._signed(depth)
        while (sign := self._peek()) in ("*", "/", "("):
            if sign != "(":
                self._take()
            factor = self._signed(depth)
            if sign == "/" and not factor:
                raise NoArithmeticError("division by zero")
            value = _bounded(value / factor if sign == "/" else value * factor)
        return value

    def _signed(self, depth: int) -> Fraction:
        if depth > _DEPTH:
            raise NoArithmeticError("too deep")
        if self._peek() in ("+", "-"):
            sign = 1 if self._take() == "+" else -1
            return sign * self._signed(depth + 1)
        base = self._atom(depth)
        if self._peek() != "^":
            return base
        self._take()
        return _power(base, self._signed(depth + 1))

    def _atom(self, depth: int) -> Fraction:
        token = self._take()
        if token == "(":
            value = self.sum(depth + 1)
            if self._take() != ")":
                raise NoArithmeticError("an open bracket")
        elif token and (token[0].isdigit() or token[0] == "."):
            value = Fraction(token.rstrip("."))
        else:
            raise NoArithmeticError("no number where one should be")
        if self._peek() == "%":
            self._take()
            value /= 100
        if self._peek()[:1].isdigit():  # 3 1/2
            raise NoArithmeticError("two numbers side by side")
        return value


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1 or abs(exponent) > _POWER or (exponent < 0 and not base):
        raise NoArithmeticError("a power that is not computed")
    return _bounded(base ** int(exponent))


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _BITS:
        raise NoArithmeticError("too large")
    return value
