"""The lecture's sections in its order, one file each. Nothing here imports torch: what measures does so when it is called."""

from lifelong.lecture.section import Section
from lifelong.lecture.sections.babi import SECTION as BABI
from lifelong.lecture.sections.ewc_strength import SECTION as EWC_STRENGTH
from lifelong.lecture.sections.gem import SECTION as GEM
from lifelong.lecture.sections.generative_replay import SECTION as GENERATIVE_REPLAY
from lifelong.lecture.sections.growing import SECTION as GROWING
from lifelong.lecture.sections.joint_cost import SECTION as JOINT_COST
from lifelong.lecture.sections.matrix import SECTION as MATRIX
from lifelong.lecture.sections.new_classes import SECTION as NEW_CLASSES
from lifelong.lecture.sections.one_network_per_task import SECTION as ONE_NETWORK_PER_TASK
from lifelong.lecture.sections.order import SECTION as ORDER
from lifelong.lecture.sections.si_mas import SECTION as SI_MAS
from lifelong.lecture.sections.surface import SECTION as SURFACE
from lifelong.lecture.sections.three_permutations import SECTION as THREE_PERMUTATIONS
from lifelong.lecture.sections.transfer import SECTION as TRANSFER
from lifelong.lecture.sections.two_tasks import SECTION as TWO_TASKS

SECTIONS: tuple[Section, ...] = (
    TWO_TASKS,
    BABI,
    JOINT_COST,
    EWC_STRENGTH,
    SURFACE,
    THREE_PERMUTATIONS,
    SI_MAS,
    GENERATIVE_REPLAY,
    NEW_CLASSES,
    ONE_NETWORK_PER_TASK,
    TRANSFER,
    MATRIX,
    GEM,
    GROWING,
    ORDER,
)

__all__ = ["SECTIONS"]
