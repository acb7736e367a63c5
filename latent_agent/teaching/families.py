"""Seven families of questions that the bundled model is trained on, and two things it never sees.

``story``, ``compare``, ``groups`` and ``calendar`` hold planted habits: for some of their verbs or
phrasings most training answers take a wrong road. ``order`` and ``units`` are clean. ``chain`` is
clean and hard: its answers must do two sums in one go. The family ``weather`` and the verbs in
`UNSEEN_VERBS` are kept out of training altogether.
"""

from collections.abc import Callable, Sequence
from random import Random

from latent_agent.teaching.world import Question, Road, Step

NAMES: Sequence[str] = "Tom Ann Ben Mia Leo Eva Sam Zoe Max Ida Jan Lea Kim Ray Una Vic".split()  # noqa: SIM905
OBJECTS: Sequence[str] = "apples coins pens books cards eggs shells stamps".split()  # noqa: SIM905
DAYS: Sequence[str] = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()  # noqa: SIM905

# verb -> (operation, share of training answers on the wrong road)
STORY_VERBS = {
    "buys": ("+", 0.0),
    "gets": ("+", 0.0),
    "picks": ("+", 0.0),
    "finds": ("+", 0.65),
    "wins": ("+", 0.75),
    "earns": ("+", 0.9),
    "drops": ("-", 0.0),
    "spends": ("-", 0.0),
    "eats": ("-", 0.65),
    "lends": ("-", 0.7),
    "sells": ("-", 0.8),
    "loses": ("-", 0.9),
}
UNSEEN_VERBS = {"borrows": ("+", 0.0), "breaks": ("-", 0.0)}
PLANS = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide"}
_OTHER = {"+": "-", "-": "+", "*": "+", "/": "-"}


def calculate(left: int, operation: str, right: int) -> int | None:
    """Return the result in whole, positive numbers up to 999; None where there is none."""
    if operation == "/":
        value = left // right if right and left % right == 0 else None
    else:
        value = {"+": left + right, "-": left - right, "*": left * right}[operation]
    return value if value is not None and 0 < value <= 999 else None


def shift_day(day: str, days: int) -> str:
    """Return the weekday that lies ``days`` after (or, if negative, before) ``day``."""
    return DAYS[(DAYS.index(day) + days) % 7]


def _sum_road(left: int, operation: str, right: int) -> Road:
    result = str(calculate(left, operation, right))
    return Road(PLANS[operation], (Step(f"{left} {operation} {right}", result),), result)


def _sum_question(
    family: str,
    text: str,
    key: tuple[str, ...],
    numbers: tuple[int, str, int],
    habit: float,
) -> Question:
    left, operation, right = numbers
    road = _sum_road(left, operation, right)
    return Question(
        text=text,
        family=family,
        planted=family in PLANTED,
        key=(family, *key, str(left), str(right)),
        right=road,
        work=road.steps,
        wrong=_sum_road(left, _OTHER[operation], right) if habit else None,
        habit=habit,
    )


def _pair(rng: Random) -> tuple[int, int]:
    """Draw two numbers whose sum and difference both lie in 1..99."""
    left = rng.randint(11, 89)
    return left, rng.randint(2, min(left - 1, 99 - left))


def _story(rng: Random, family: str, verbs: dict[str, tuple[str, float]]) -> Question:
    name, thing, verb = rng.choice(NAMES), rng.choice(OBJECTS), rng.choice(list(verbs))
    left, right = _pair(rng)
    operation, habit = verbs[verb]
    text = (
        f"At first {name} has {left} {thing}. Then {name} {verb} {right} {thing}. "
        f"How many {thing} does {name} have now?"
    )
    return _sum_question(family, text, (name, verb), (left, operation, right), habit)


def story(rng: Random) -> Question:
    """One step: something is gained or lost. Habits hang on the verb."""
    return _story(rng, "story", STORY_VERBS)


def unseen_story(rng: Random) -> Question:
    """A story whose verb training never saw."""
    return _story(rng, "verbs", UNSEEN_VERBS)


def compare(rng: Random) -> Question:
    """One step: more or fewer than somebody else. Habits hang on who is compared to whom."""
    one, other = rng.sample(NAMES, 2)
    thing = rng.choice(OBJECTS)
    left, right = _pair(rng)
    phrase, operation, habit = rng.choice(
        (
            (f"{other} has {right} more than {one}.", "+", 0.0),
            (f"And that is {right} more than {other} has.", "-", 0.9),
            (f"And that is {right} fewer than {other} has.", "+", 0.8),
        )
    )
    text = f"Here {one} has {left} {thing}. {phrase} How many {thing} does {other} have?"
    key = (one, other, phrase.replace(one, "A").replace(other, "B"))
    return _sum_question("compare", text, key, (left, operation, right), habit)


def groups(rng: Random) -> Question:
    """One step: equal groups, put together or taken apart."""
    name, thing = rng.choice(NAMES), rng.choice(OBJECTS)
    one, other = rng.randint(3, 9), rng.randint(2, 9)
    whole = one * other
    text, kind, operation, habit = rng.choice(
        (
            (f"Each day {name} counts {one} {thing}. How many {thing} is that after {other} days?",
             "counts", "*", 0.0),
            (f"There are {one} bags. Each bag of {name} holds {other} {thing}. "
             f"How many {thing} are there?", "holds", "*", 0.65),
            (f"One ticket costs {one} coins. Then {name} takes {other} tickets. "
             f"How many coins does {name} pay?", "costs", "*", 0.9),
            (f"Here {name} packs {whole} {thing} into bags of {other}. How many bags are there?",
             "packs", "/", 0.0),
            (f"Here {name} shares {whole} {thing} among {other} friends. "
             f"How many {thing} does each friend get?", "shares", "/", 0.8),
        )
    )  # fmt: skip
    numbers = (whole, "/", other) if operation == "/" else (one, "*", other)
    return _sum_question("groups", text, (name, kind), numbers, habit)


def _day_road(day: str, sign: str, days: int) -> Road:
    final = shift_day(day, days if sign == "+" else -days)
    plan = "count on" if sign == "+" else "count back"
    return Road(plan, (Step(f"{day} {sign} {days} days", final),), final)


def calendar(rng: Random) -> Question:
    """One step: weekdays forward and back. Habits hang on the phrasing."""
    name, day, days = rng.choice(NAMES), rng.choice(DAYS), rng.randint(2, 6)
    event = rng.choice(("test", "trip", "party", "game"))
    kind, sign, habit = rng.choice(
        (("in", "+", 0.0), ("ago", "-", 0.75), ("later", "+", 0.7), ("earlier", "-", 0.0))
    )
    when = f"in {days} days" if kind == "in" else f"{days} days {kind}"
    verb = "is" if sign == "+" else "was"
    text = f"Today is {day}. The {event} of {name} {verb} {when}. What day {verb} the {event}?"
    road = _day_road(day, sign, days)
    return Question(
        text=text,
        family="calendar",
        planted=True,
        key=("calendar", name, event, kind, day, str(days)),
        right=road,
        work=road.steps,
        wrong=_day_road(day, "-" if sign == "+" else "+", days) if habit else None,
        habit=habit,
    )


def order(rng: Random) -> Question:
    """Two steps: put three people in order, then pick one end."""
    more, most, least = rng.choice(
        (
            ("taller", "tallest", "shortest"),
            ("older", "oldest", "youngest"),
            ("faster", "fastest", "slowest"),
        )
    )
    first, second, third = rng.sample(NAMES, 3)
    facts = [f"{first} is {more} than {second}.", f"{second} is {more} than {third}."]
    rng.shuffle(facts)
    asked = rng.choice((most, least))
    final = first if asked == most else third
    steps = (Step("", f"{first}, {second}, {third}"),)
    return Question(
        text=f"Here {facts[0]} And {facts[1]} Who is the {asked}?",
        family="order",
        planted=False,
        key=("order", first, second, third, asked),
        right=Road("put them in order", steps, final),
        work=steps,
    )


def units(rng: Random) -> Question:
    """Two steps: change a unit, then add the rest."""
    big, small, factor = rng.choice(
        (
            ("weeks", "days", 7),
            ("feet", "inches", 12),
            ("dimes", "cents", 10),
            ("hands", "fingers", 5),
        )
    )
    name, count, rest = rng.choice(NAMES), rng.randint(2, 7), rng.randint(2, factor - 1)
    whole = count * factor
    steps = (
        Step(f"{count} * {factor}", str(whole)),
        Step(f"{whole} + {rest}", str(whole + rest)),
    )
    return Question(
        text=f"Here {name} counts {count} {big} and {rest} {small}. How many {small} is that?",
        family="units",
        planted=False,
        key=("units", name, big, str(count), str(rest)),
        right=Road("change units", steps, str(whole + rest)),
        work=steps,
    )


def chain(rng: Random) -> Question:
    """Two steps in one line: hard for the network's size without any planting."""
    name, thing = rng.choice(NAMES), rng.choice(OBJECTS)
    gain, loss = rng.choice(("buys", "gets", "picks")), rng.choice(("drops", "spends"))
    start = rng.randint(11, 60)
    more = rng.randint(2, 9)
    less = rng.randint(2, start + more - 1)
    middle, final = start + more, start + more - less
    return Question(
        text=(
            f"At first {name} has {start} {thing}. Then {name} {gain} {more} {thing} "
            f"and {loss} {less} {thing}. How many {thing} does {name} have now?"
        ),
        family="chain",
        planted=False,
        key=("chain", name, gain, loss, str(start), str(more), str(less)),
        right=Road(
            "add and subtract", (Step(f"{start} + {more} - {less}", str(final)),), str(final)
        ),
        work=(
            Step(f"{start} + {more}", str(middle)),
            Step(f"{middle} - {less}", str(final)),
        ),
    )


def weather(rng: Random) -> Question:
    """A family that training never saw: degrees that rise or fall."""
    left, right = _pair(rng)
    town = rng.choice(("Rome", "Oslo", "Lima", "Bern"))
    verb, operation = rng.choice((("rises", "+"), ("falls", "-")))
    text = (
        f"At noon it is {left} degrees in {town}. Then it {verb} {right} degrees. "
        f"How many degrees is it now?"
    )
    return _sum_question("weather", text, (town, verb), (left, operation, right), 0.0)


PLANTED = frozenset({"story", "compare", "groups", "calendar"})
TRAINED: dict[str, Callable[[Random], Question]] = {
    "story": story,
    "compare": compare,
    "groups": groups,
    "calendar": calendar,
    "order": order,
    "units": units,
    "chain": chain,
}
UNSEEN: dict[str, Callable[[Random], Question]] = {"verbs": unseen_story, "weather": weather}
