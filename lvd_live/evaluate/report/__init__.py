"""The paper's experiments as one report: report.md, its tables as CSV, its plots as PNG."""

from __future__ import annotations
