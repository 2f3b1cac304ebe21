"""A network that reads stories: it learns kinds of questions one after the other, keeps some of each, and answers one of your own."""

import functools

import torch

import lifelong as ll
from lifelong.data.babi import VOCABULARY, parse
from lifelong.streams.babi import encode

STORY = """1 Mary went to the garden.
2 John moved to the kitchen.
3 Mary travelled to the office.
4 Where is Mary? \toffice\t3
"""


def main() -> None:
    stream = ll.streams.babi([1, 6, 9], source="simulated")  # no files needed: a simulator tells the stories
    network = ll.models.MemoryNetwork(len(VOCABULARY), linear_start=160)
    optimizer = functools.partial(torch.optim.Adam, lr=0.01)
    for name, methods in {"alone": [], "with replay": [ll.methods.Replay(capacity=500)]}.items():
        learner = ll.Learner(network, methods, stream.scenario, optimizer=optimizer, epochs=20, clip_norm=1.0)
        for task in stream:
            learner.learn(task)
        print(f"{name}: accuracy on the first kind {learner.evaluate(stream).values[3, 0]:.2f}")

    places = {word: number for number, word in enumerate(VOCABULARY, start=1)}
    x = encode(parse(STORY, "my story"), places, sentences=50)
    print("Where is Mary?", learner.predict(x)[0])


if __name__ == "__main__":
    main()
