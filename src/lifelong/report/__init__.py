"""Results (the content of results.json) as terminal tables and as one HTML page.

`table` and `page` show; `digest` turns runs into numbers for each method; `units` writes numbers; `svg` and `charts` draw.
"""

from lifelong.report.digest import PublishedRow, ReportError, published_rows
from lifelong.report.page import write_page
from lifelong.report.table import print_summary

__all__ = ["PublishedRow", "ReportError", "print_summary", "published_rows", "write_page"]
