"""A simulator of the twenty bAbI question types: endless fresh stories, by seed.

Paper: Weston et al. 2015, "Towards AI-Complete Question Answering: A Set of Prerequisite Toy Tasks", https://arxiv.org/abs/1502.05698.
What the paper leaves open (how often what happens, how many statements stand between questions, which of the possible questions is asked)
follows the published files, version 1.2.
"""

from random import Random
from typing import Final

from lifelong.data.babi_simulator.beliefs import indefinite_knowledge, simple_negation
from lifelong.data.babi_simulator.carrying import counting, lists_sets, three_argument_relations
from lifelong.data.babi_simulator.finding import three_supporting_facts, two_supporting_facts, yes_no_questions
from lifelong.data.babi_simulator.moving import basic_coreference, compound_coreference, conjunction, single_supporting_fact
from lifelong.data.babi_simulator.reasoning import agents_motivations, basic_deduction, basic_induction
from lifelong.data.babi_simulator.relations import path_finding, positional_reasoning, size_reasoning, two_argument_relations
from lifelong.data.babi_simulator.text import Simulator, Story
from lifelong.data.babi_simulator.times import time_reasoning
from lifelong.errors import TaskError

SIMULATORS: Final[dict[int, Simulator]] = {
    1: single_supporting_fact,
    2: two_supporting_facts,
    3: three_supporting_facts,
    4: two_argument_relations,
    5: three_argument_relations,
    6: yes_no_questions,
    7: counting,
    8: lists_sets,
    9: simple_negation,
    10: indefinite_knowledge,
    11: basic_coreference,
    12: conjunction,
    13: compound_coreference,
    14: time_reasoning,
    15: basic_deduction,
    16: basic_induction,
    17: positional_reasoning,
    18: size_reasoning,
    19: path_finding,
    20: agents_motivations,
}


def simulate(task: int, questions: int, seed: int) -> str:
    r"""Stories of one question type, in the text form of the bAbI files.

    The same arguments give the same text, on every machine; more questions of the same seed begin with the same ones.

    Args:
        task: the question type, 1 to 20.
        questions: how many, 1 or more. The last story ends with its last wanted question.
        seed: 0 or more. Question types and seeds draw from generators of their own.

    Returns:
        the lines "1 Mary went to the garden." and "2 Where is Mary? \tgarden\t1", numbered from 1 in each story.

    Raises:
        TaskError: an unknown task, or a number of questions or a seed out of range.

    >>> print(simulate(1, questions=2, seed=0).expandtabs(1), end="")
    1 John journeyed to the hallway.
    2 Mary moved to the garden.
    3 Where is John?  hallway 1
    4 Daniel went back to the bedroom.
    5 Mary moved to the bedroom.
    6 Where is Daniel?  bedroom 4
    """
    if task not in SIMULATORS:
        raise TaskError(f"task is {task}; expected a bAbI question type, 1 to {len(SIMULATORS)}")
    if questions < 1:
        raise TaskError(f"questions is {questions}; expected 1 or more")
    if seed < 0:
        raise TaskError(f"seed is {seed}; expected 0 or more")
    # A string seeds through SHA-512, so that neighbouring seeds and tasks have nothing in common.
    random, simulator, texts, wanted = Random(f"babi {task} {seed}"), SIMULATORS[task], [], questions
    while wanted > 0:
        story = simulator(random)
        texts.append(story.text(wanted))
        wanted -= len(story.questions)
    return "".join(texts)


__all__ = ["SIMULATORS", "Simulator", "Story", "simulate"]
