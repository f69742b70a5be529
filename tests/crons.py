"""Cron expressions of every form that there is, for tests of what holds of all of them."""

from hypothesis import strategies as st

from db.schedules import ALIASES

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
FIELDS = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 7), "second": (0, 59)}
NAMES = {"month": MONTHS, "weekday": WEEKDAYS}
STEPS = st.sampled_from([1, 2, 5, 7, 15, 40, 90, 10**9, 10**60])


def values(field: str) -> st.SearchStrategy[str]:
    numbers = st.integers(*FIELDS[field]).map(str)
    return numbers | st.sampled_from(NAMES[field]) if field in NAMES else numbers


def items(field: str) -> st.SearchStrategy[str]:
    value = values(field)
    ranges = st.builds("{}-{}".format, value, value)
    items = [st.just("*"), value, ranges, st.builds("{}/{}".format, st.just("*") | ranges | value, STEPS)]
    if field == "day":
        items.append(st.sampled_from(["L", "l", "?"]))
    if field == "weekday":
        numbered = st.builds("{}#{}".format, value, st.sampled_from(["1", "2", "5", "L"]))
        items += [numbered, st.builds("L{}".format, value), st.just("?")]
    return st.one_of(items)


def texts(field: str) -> st.SearchStrategy[str]:
    return st.lists(items(field), min_size=1, max_size=3).map(",".join)


FIVE = st.tuples(*(texts(field) for field in list(FIELDS)[:5])).map(" ".join)
SIX = st.tuples(*(texts(field) for field in FIELDS)).map(" ".join)

EXPRESSIONS = st.one_of(FIVE, FIVE, SIX, st.sampled_from(sorted(ALIASES)))
