"""What a proxy does with the bytes that it is to carry."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pass:
    """It carries them."""


@dataclass(frozen=True, slots=True)
class Delay:
    """Each piece waits for this long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing gets through until this is over; then everything arrives, as after a router's pause."""


@dataclass(frozen=True, slots=True)
class Lose:
    """Nothing gets through. A connection that met this stays open and silent for ever, on both sides."""


@dataclass(frozen=True, slots=True)
class LoseFrom:
    """Passes until a client sends these bytes; from then on, and with them, it loses everything."""

    pattern: bytes


@dataclass(frozen=True, slots=True)
class Reset:
    """Connections are reset, new ones as soon as they are accepted."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Connections are reset, and nobody listens for new ones."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The other side never hears of it: whatever a client sends is answered with this, and the connection closed."""

    content: bytes


Manner = Pass | Delay | Hold | Lose | LoseFrom | Reset | Refuse | Answer
