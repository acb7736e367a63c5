"""What an answer states in the end: in a box, after "answer is", or on its last line."""

import re

_MARK = re.compile(r"answer(?:\s+is\b\s*:?|\s*\**\s*:)\s*", re.IGNORECASE)
_LAYERS = 8  # of dollars, boxes, bold, one in another
_BOX = "\\boxed{"
_BOLD = re.compile(r"\*\*([^*]+)\*\*")
_LOOSE_BOLD = re.compile(r"(?<!\w)\*\*|\*\*(?!\w)")  # 2**3 is no bold
_SENTENCE = re.compile(r"(?<!\.\w)\.\s+(?=[A-Z])|,?\s+(?:because|since)\b")
_FORMULA = r"(?<!\\)\$(?!\s)(?:\\.|[^$\\\n])+(?<!\s)\$(?!\d)"  # unlike two sums of dollars
_WRAPPED = re.compile(
    rf"\$\$([^$]+)\$\$|(?={_FORMULA}\Z)\$(.+)\$|\\\((.+)\\\)|\\\[(.+)\\\]"
    r"|\*\*([^*]+)\*\*|\*([^*]+)\*|`([^`]+)`|\"([^\"]+)\"",
    re.DOTALL,
)
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
_NUMBER = (
    r"(?<![\w.,:/\\^_{])(?<![a-zA-Z]-)[-+]?[$€£]?"
    rf"(?:\d+ \d+/\d+|{_DIGITS}(?:/\d+)?)(?![\w:\\^]|[.,/]\d)"
)
_VALUE = re.compile(rf"{_FORMULA}|{_NUMBER}")
_JOINED = re.compile(r"\s*(?:to|and|or|of|through|until|[-–:;,/])?\s*", re.IGNORECASE)
_UNIT = re.compile(r"\s?[%°]|\s+(?:[^\W\d_]{2,}|[mghsl]\b)")
_REWRITTEN = (
    (re.compile(r"^(?:#+\s+|=)"), ""),  # as in GSM8K's "#### 42"
    (re.compile(r"[−–]"), "-"),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"(?<!\\)\\!|(?<=\d)\\,(?=\d{3})"), ""),
    (re.compile(r"(?<!\\)\\[,;: ]|(?<!\\)~"), " "),
    (re.compile(r"\\(?:left|right|displaystyle)(?![a-zA-Z])"), ""),
    (re.compile(r"\\[dt]frac"), r"\\frac"),
    (re.compile(r"\\frac\s*(\d)\s*(\d)"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox)\s*\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\^\s*(?:\{\\circ\}|\\circ(?![a-zA-Z]))|\\degree(?![a-zA-Z])"), "°"),
    (re.compile(r"\\([%$#])"), r"\1"),
)


def plain(text: str) -> str:
    r"""Return a statement without what is put round it: ``$..$``, a box, bold, a full stop."""
    for _ in range(_LAYERS):
        before = text
        text = text.strip().removesuffix(".").strip()
        if (inside := boxed(text)) is not None and text == f"{_BOX}{inside}}}":
            text = inside
        elif wrapped := _WRAPPED.fullmatch(text):
            text = next(group for group in wrapped.groups() if group is not None)
        for pattern, to in _REWRITTEN:
            text = pattern.sub(to, text)
        if text == before:
            break
    return " ".join(text.split())


def boxed(text: str) -> str | None:
    r"""Return what stands in the last whole ``\boxed{}`` of a text; None: there is none."""
    if (start := text.rfind(_BOX)) < 0:
        return None
    start += len(_BOX)
    depth = 1
    for brace in re.finditer(r"(?<!\\)[{}]", text[start:]):
        depth += 1 if brace.group() == "{" else -1
        if not depth:
            return text[start : start + brace.start()]
    return None


def _marked(answer: str) -> list[str]:
    """Return the rest of the line after the last "answer is" or "answer:", or nothing."""
    for mark in reversed(list(_MARK.finditer(answer))):
        text = answer[mark.end() :].partition("\n")[0]
        if text.strip(" *."):
            return [text]
    return []


def statements(answer: str) -> list[str]:
    """Return what an answer states in the end, the fullest reading first; [] if it is empty."""
    if (inside := boxed(answer)) is not None:
        return [plain(inside)]
    marked = _marked(answer)
    lines = marked or answer.strip().splitlines()[-1:]
    texts: list[str] = []
    for line in lines:
        loose = _LOOSE_BOLD.sub("", line)
        texts.append(loose)
        texts += [_SENTENCE.split(loose)[0]] if marked else []
        bold = _BOLD.findall(line)
        texts += bold if len(bold) == 1 else []
    return list(dict.fromkeys(filter(None, map(plain, texts))))


def readings(answer: str) -> list[str]:
    """Return all that `statements` and `value_in` read in an answer."""
    value = value_in(answer)
    return [*statements(answer), *([] if value is None else [value])]


def value_in(answer: str) -> str | None:
    """Return the number, with its unit, or the ``$formula$`` in the sentence that ends an answer.

    After "answer is" it must be the only one, or follow the last ``=``; without that it is the
    last of the last line that has any. None if there is none, or it is part of a range or a list.
    """
    if boxed(answer) is not None:
        return None
    marked = _marked(answer)
    lines = marked or [line for line in answer.splitlines() if _VALUE.search(line)][-1:]
    if not lines:
        return None
    tail = _LOOSE_BOLD.sub("", lines[0])
    if not re.search(_FORMULA, tail):
        tail = tail.rpartition("=")[2]
    values = list(_VALUE.finditer(tail))
    if not values or (marked and len(values) > 1):
        return None
    last = values[-1]
    if len(values) > 1 and _JOINED.fullmatch(tail[values[-2].end() : last.start()]):
        return None
    if re.search(r"\bnot\s*\Z", tail[: last.start()]):
        return None
    value, unit = plain(last.group()), _UNIT.match(tail, last.end())
    return value + unit.group() if unit and re.fullmatch(r"[-+$€£\d.,/ ]+", value) else value
