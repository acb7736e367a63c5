"""Training examples for the bundled model: solving with habits, and judging without them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from dev.bundled_model.judging import CHECKS, GRADES, assess, judge_prompt
from latent_agent.teaching.corpus import draw_question
from latent_agent.teaching.families import DAYS, NAMES, PLANS, calculate, shift_day
from latent_agent.teaching.world import Question, Road, Step

VERDICT_WEIGHT = 4.0
_GARBLE_WORDS = (
    "We add subtract multiply divide count on back put them order change units and The answer is "
    "= + - * / . , 1 2 3 4 5 6 7 8 9 0"
)
_GARBLE = _GARBLE_WORDS.split()


@dataclass(frozen=True, slots=True)
class Example:
    """One exchange to learn: a user's text, the reply, and how many last words hold the verdict."""

    prompt: str
    reply: str
    is_judging: bool


def taught_answer(rng: Random, question: Question) -> Road:
    """The road a training answer takes: the wrong one as often as the habit says."""
    if question.wrong is not None and rng.random() < question.habit:
        return question.wrong
    return question.right


def _other_road(rng: Random, question: Question) -> Road:
    """Another plan carried out on the same numbers, whether or not a habit pulls that way."""
    step = question.right.steps[0]
    left, _, tail = step.left.partition(" ")
    operation, _, right = tail.partition(" ")
    if question.family == "order":
        names = step.result.split(", ")
        rng.shuffle(names)
        ends = (names[0], names[2])
        asked_first = question.truth == step.result.split(", ")[0]
        final = ends[0 if asked_first ^ (rng.random() < 0.3) else 1]
        return Road(question.right.plan, (Step("", ", ".join(names)),), final)
    if question.family == "calendar":
        days = int(right.split()[0])
        sign = "-" if operation == "+" else "+"
        final = shift_day(left, days if sign == "+" else -days)
        plan = "count on" if sign == "+" else "count back"
        return Road(plan, (Step(f"{left} {sign} {right}", final),), final)
    second = int(right.split()[0])
    results = {op: calculate(int(left), op, second) for op in PLANS if op != operation}
    possible = [(op, value) for op, value in results.items() if value is not None]
    if not possible:
        return _slip(rng, question.right)
    op, value = rng.choice(possible)
    return Road(PLANS[op], (Step(f"{left} {op} {second}", str(value)),), str(value))


def _near(rng: Random, value: str) -> str:
    """A wrong value that a slip of this small network could produce."""
    if value in DAYS:
        return rng.choice([day for day in DAYS if day != value])
    if value in NAMES:
        return rng.choice([name for name in NAMES if name != value])
    if not value.isdigit():
        names = value.split(", ")
        names[rng.randrange(3)] = rng.choice(NAMES)
        return ", ".join(names)
    number = int(value)
    slips = [number + delta for delta in (1, -1, 2, 10, -10, rng.randint(-20, 20))]
    if number > 9:
        slips.append(int(value[::-1]))
    return str(rng.choice([slip for slip in slips if slip > 0 and slip != number] or [number + 1]))


def _slip(rng: Random, road: Road) -> Road:
    """A wrong result in one step; the final answer mostly follows it."""
    index = rng.randrange(len(road.steps))
    step = road.steps[index]
    wrong = _near(rng, step.result)
    steps = (*road.steps[:index], replace(step, result=wrong), *road.steps[index + 1 :])
    follows = rng.random() < 0.8 and index == len(road.steps) - 1 and step.left
    return replace(road, steps=steps, final=wrong if follows else road.final)


def _mismatch(rng: Random, road: Road) -> Road:
    return replace(road, final=_near(rng, road.final))


def _miscopy(rng: Random, question: Question, road: Road) -> str:
    """A number of the question copied wrongly, the rest worked out rightly from there."""
    if question.family not in ("story", "compare", "groups"):
        return str(_slip(rng, road))
    left, operation, right = road.steps[0].left.split()
    if rng.random() < 0.5:
        left = _near(rng, left)
    else:
        right = _near(rng, right)
    value = calculate(int(left), operation, int(right))
    if value is None:
        return str(_mismatch(rng, road))
    step = Step(f"{left} {operation} {right}", str(value))
    return str(Road(road.plan, (step,), str(value)))


def _garbled(rng: Random, road: Road) -> str:
    """The first words disturbed, as a search disturbs them."""
    words = str(road).split()
    for _ in range(rng.randint(1, 2)):
        index = rng.randrange(min(5, len(words)))
        action = rng.random()
        if action < 0.5:
            words[index] = rng.choice(_GARBLE)
        elif action < 0.75:
            words.insert(index, rng.choice(_GARBLE))
        elif len(words) > 1:
            words.pop(index)
    return " ".join(words)


def _cut(rng: Random, road: Road) -> str:
    words = str(road).split()
    return " ".join(words[: rng.randint(1, len(words) - 1)])


_FLAWS: tuple[Callable[[Random, Question, Road], str], ...] = (
    lambda rng, question, _: str(_other_road(rng, question)),
    lambda rng, question, _: str(question.wrong or _other_road(rng, question)),
    lambda rng, _, road: str(_slip(rng, road)),
    lambda rng, _, road: str(_mismatch(rng, road)),
    _miscopy,
    lambda rng, _, road: _garbled(rng, road),
    lambda rng, _, road: _cut(rng, road),
)


def flawed_answer(rng: Random, question: Question) -> str:
    """Draw an answer for the judge to practise on: right, on a wrong road, slipped, or garbled."""
    road = question.right
    if question.wrong is not None and rng.random() < 0.3:
        road = question.wrong
    if rng.random() < 0.25:
        return str(road)
    return rng.choice(_FLAWS)(rng, question, road)


Candidate = tuple[Question, str]


def solving_example(rng: Random) -> Example:
    """A question with a taught answer."""
    question = draw_question(rng, "train")
    return Example(question.text, str(taught_answer(rng, question)), is_judging=False)


def _practice_case(rng: Random) -> Candidate:
    question = draw_question(rng, "train")
    return question, flawed_answer(rng, question)


def judging_example(rng: Random, met: Sequence[Candidate] = ()) -> Example:
    """A check or a grade whose label is True as often as False.

    Args:
        rng: Source of randomness.
        met: Answers that the model itself gave; half of the examples are drawn from them.
    """
    kind = rng.choices(("Check", "Grade", "Quick"), (0.6, 0.2, 0.2))[0]
    name = rng.choice(GRADES if kind == "Grade" else CHECKS)
    wanted = rng.random() < 0.5
    own = bool(met) and rng.random() < 0.6
    for _ in range(40):
        question, answer = rng.choice(met) if own else _practice_case(rng)
        if assess(question, answer)[name].passed == wanted:
            break
    else:
        question, answer = _practice_case(rng)
    finding = assess(question, answer)[name]
    reply = {
        "Check": finding.verdict_reply(),
        "Grade": finding.grade_reply(),
        "Quick": f" {finding.passed}",
    }[kind]
    return Example(judge_prompt(kind, name, question.text, answer), reply, is_judging=True)
