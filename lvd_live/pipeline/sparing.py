"""A person finder that looks at every other frame only while the budget says so."""

from __future__ import annotations

import numpy as np

from lvd_live.person.carried import Carrier
from lvd_live.person.types import Person, PersonFinder
from lvd_live.pipeline.budget import Budget


class SparingFinder:
    """A PersonFinder: `finder`, and in between, while `budget` leaves it out, the person carried by optical flow."""

    def __init__(self, finder: PersonFinder, budget: Budget):
        self._finder, self._budget, self._carrier = finder, budget, Carrier()
        self._looks_next = True

    def reset(self) -> None:
        """Forget the person."""
        self._finder.reset()
        self._carrier.forget()

    def find(self, picture: np.ndarray) -> Person | None:
        """See `PersonFinder.find`."""
        if "person finder" not in self._budget.left_out:
            self._carrier.forget()
            return self._finder.find(picture)
        person = None if self._looks_next else self._carrier(picture)
        self._looks_next = person is not None
        if person is None:
            person = self._finder.find(picture)
            self._carrier.note(picture, person)
        return person
