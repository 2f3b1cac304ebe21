"""Results (the content of results.json) as terminal tables and as one HTML page.

`table` and `page` show; `digest` turns runs into numbers for each method, `published` sets published ones beside them; `units` writes
numbers; `svg` and `charts` draw; `png` packs images.
"""

from lifelong.report.digest import ReportError
from lifelong.report.page import write_page
from lifelong.report.published import PublishedRow, published_rows
from lifelong.report.table import print_check, print_summary

__all__ = ["PublishedRow", "ReportError", "print_check", "print_summary", "published_rows", "write_page"]
