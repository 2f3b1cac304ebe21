"""A worker of the lecture that knows the tests' small sections: `python small_sections.py`."""

import time

from lifelong.lecture import worker
from lifelong.lecture.drawing import Bars, bars
from lifelong.lecture.section import Json, Language, Measured, Picture, Section, Shown, Table, Words


def counted(full: bool) -> Json:
    return {"number": 7 if full else 3}


def broken(full: bool) -> Json:
    raise ValueError("this measure is broken")


def endless(full: bool) -> Json:
    while True:
        time.monotonic()


def show(measured: Measured, language: Language) -> Shown:
    number = measured["counted"]["number"]
    picture = Picture(bars("A title", ["<one>"], [Bars("group", [number / 10])]), "a <caption>")
    return Shown([Words(f"It is {number}.", f"它是{number}。").said(language)], [picture], [Table(["a", "b"], [["row", str(number)]])])


def section(name: str, **changes: object) -> Section:
    settings: dict[str, object] = {"measures": {"counted": counted}, **changes}
    return Section(
        name, Words(f"On {name}", f"關於 {name}"), Words("A claim.", "一個主張。"), show, ("src/lifelong/learner.py",), **settings
    )  # type: ignore[arg-type]


COUNTING = section("counting")
BROKEN = section("broken", measures={"broken": broken})
ENDLESS = section("endless", measures={"endless": endless})
RECIPE = section("recipe", measures={}, recipes={"lecture-two-tasks": ("seeds=1", "training.epochs=1")})

if __name__ == "__main__":
    worker.SECTIONS = (COUNTING, BROKEN, ENDLESS)
    worker.worker.main(worker.perform)
