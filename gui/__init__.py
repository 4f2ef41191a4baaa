"""The window. It shows and asks; the work is done in the rest of lvd_live, which imports no Qt."""

from __future__ import annotations
