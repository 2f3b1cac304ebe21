"""Draws the README's picture from the demo's results: python tools/draw_picture.py runs/demo docs/picture.svg"""

import sys
from pathlib import Path

from lifelong.report import charts, svg
from lifelong.report.digest import digest
from lifelong.results import read_results

SHOWN = {"finetune": "fine-tuning forgets", "ewc": "EWC keeps statistics", "replay": "replay keeps 500 digits"}
PANEL, TITLE = 290.0, 30.0


def main(results: str, picture: str) -> None:
    methods = {method.name: method for method in digest(read_results(Path(results)))}
    shown = {name: methods[name].matrix for name in SHOWN}
    floor = charts.shared_floor([matrix for matrix in shown.values() if matrix is not None])
    content = [svg.element("rect", width="100%", height="100%", fill="#ffffff")]
    height = 0.0
    for position, (name, matrix) in enumerate(shown.items()):
        assert matrix is not None
        left = 10.0 + position * PANEL
        content.append(svg.text(left + 74, 20, SHOWN[name], font_size=14.0, font_weight=600))
        panel = charts.heat_map(name, matrix, floor)
        content.append(svg.element("g", panel, transform=f"translate({left} {TITLE})"))
        height = max(height, float(panel.split(' height="', 1)[1].split('"', 1)[0]))
    described = "Accuracy in percent on five tasks after learning each, for three methods; the framed cell is the task just learned"
    drawn = svg.picture(len(SHOWN) * PANEL + 10, TITLE + height + 8, "Five tasks, three methods", described, *content)
    styled = drawn.replace(">", ' font-family="system-ui, sans-serif">', 1)
    Path(picture).write_text(styled + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
