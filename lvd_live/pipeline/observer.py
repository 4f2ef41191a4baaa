"""What may watch a run: a recorder, a stream, a window."""

from __future__ import annotations

from collections.abc import Callable

from lvd_live.person.types import Person
from lvd_live.sources.frame import Frame
from lvd_live.tracking.fit import Fit

Observer = Callable[[Frame, Person | None, Fit | None], object]
"""Called with every frame, the person in it and its fit, in the order of the frames, in the thread of the fit: it must
be quick. person, fit : None where nobody was found, or the mesh did not settle."""
