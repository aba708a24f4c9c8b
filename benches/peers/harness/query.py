"""What a query is: its text, how often it runs, what it draws at random, and what is asked of LynxStore."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Callable, Optional

from .dialects import Dialect

START = datetime(2026, 1, 1)


@dataclass
class Target:
    """The largest part of the better peer's time that LynxStore may take: by itself and with rollups switched off."""

    part: float
    part_without_rollups: Optional[float] = None
    # An absolute bound, of any machine.
    milliseconds: Optional[float] = None


@dataclass
class Query:
    """One query. `text` makes the statement of one random draw in a dialect; the draw is the same for all of them."""

    name: str
    table: str
    text: Callable[[Dialect, "Draw"], str]
    target: Target
    # Statements per round.
    draws: int
    # LynxStore only: text with $1, $2, ... and the parameters of a draw.
    prepared: Optional[tuple[str, Callable[["Draw"], list]]] = None


class Draw:
    """Random hosts, fleets and windows. Starts of windows are whole seconds, which every dialect can write."""

    def __init__(self, seed: str, entities: int, hours: float):
        self._seed = seed
        self._entities = entities
        self._seconds = round(hours * 3600)
        self.restart()

    def restart(self) -> "Draw":
        """Begins anew, so that each dialect draws the same."""
        self._random = Random(self._seed)
        return self

    def window(self, hours: float) -> tuple[str, str]:
        """A window within the data; all of it when the window is longer."""
        length = min(round(hours * 3600), self._seconds)
        start = self._random.randint(0, self._seconds - length)
        return _text(start), _text(start + length)

    def names(self, prefix: str, count: int) -> list[str]:
        """Distinct hosts or trucks."""
        numbers = self._random.sample(range(self._entities), min(count, self._entities))
        return [f"{prefix}_{number}" for number in numbers]

    def choice(self, values: list[str]) -> str:
        """One of several values."""
        return self._random.choice(values)


def _text(seconds: int) -> str:
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S")
