"""Puts a method through every check that the library's own methods pass.

`cases` says what is tested and in what settings, `data` on what; `exactness`, `manners` and `gains` are the checks, `checks` is their
table, and `conformance` runs them and reports in words.
"""

from lifelong.testing.conformance import Conformance, Outcome, check_method
from lifelong.testing.requiring import ConformanceError

__all__ = ["Conformance", "ConformanceError", "Outcome", "check_method"]
