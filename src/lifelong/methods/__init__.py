"""Methods: one paper, one file. The table maps the names of recipes and the command line to classes."""

from lifelong.method import Method
from lifelong.methods.agem import AGEM
from lifelong.methods.der import DER
from lifelong.methods.ewc import EWC
from lifelong.methods.expert_gate import ExpertGate
from lifelong.methods.finetune import Finetune
from lifelong.methods.gem import GEM
from lifelong.methods.generative_replay import GenerativeReplay
from lifelong.methods.icarl import ICaRL
from lifelong.methods.independent import Independent
from lifelong.methods.joint import Joint
from lifelong.methods.l2 import L2
from lifelong.methods.lwf import LwF
from lifelong.methods.mas import MAS
from lifelong.methods.net2net import Net2Net
from lifelong.methods.online_ewc import OnlineEWC
from lifelong.methods.packnet import PackNet
from lifelong.methods.progressive import Progressive
from lifelong.methods.replay import Replay
from lifelong.methods.si import SI
from lifelong.methods.task_gate import TaskGate

METHODS: dict[str, type[Method]] = {
    "finetune": Finetune,
    "joint": Joint,
    "independent": Independent,
    "l2": L2,
    "ewc": EWC,
    "online-ewc": OnlineEWC,
    "si": SI,
    "mas": MAS,
    "lwf": LwF,
    "icarl": ICaRL,
    "replay": Replay,
    "der": DER,
    "generative-replay": GenerativeReplay,
    "gem": GEM,
    "agem": AGEM,
    "net2net": Net2Net,
    "packnet": PackNet,
    "progressive": Progressive,
    "task-gate": TaskGate,
    "expert-gate": ExpertGate,
}

__all__ = [
    "AGEM",
    "DER",
    "EWC",
    "GEM",
    "L2",
    "MAS",
    "METHODS",
    "SI",
    "ExpertGate",
    "Finetune",
    "GenerativeReplay",
    "ICaRL",
    "Independent",
    "Joint",
    "LwF",
    "Net2Net",
    "OnlineEWC",
    "PackNet",
    "Progressive",
    "Replay",
    "TaskGate",
]
