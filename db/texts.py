"""Makes any text storable: what a run, a library or another server says may hold anything and have any length."""

MOST = 16 * 1024
CUT = " … (cut)"


def fit(text: str, *, at_most: int = MOST, cut: str = CUT) -> str:
    """The text as PostgreSQL and Prefect take it: valid Unicode without NUL, shortened with a note where it is longer.

    What cannot be stored is replaced, one character by one. Pure.
    """
    if len(text) > at_most:
        text = text[:at_most] + cut
    if text.isascii():
        return text.replace("\0", "\ufffd") if "\0" in text else text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
