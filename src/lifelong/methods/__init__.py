"""Methods: one paper, one file. The table maps the names of recipes and the command line to classes."""

from lifelong.method import Method
from lifelong.methods.ewc import EWC
from lifelong.methods.finetune import Finetune
from lifelong.methods.independent import Independent
from lifelong.methods.joint import Joint
from lifelong.methods.l2 import L2
from lifelong.methods.online_ewc import OnlineEWC
from lifelong.methods.replay import Replay

METHODS: dict[str, type[Method]] = {
    "finetune": Finetune,
    "joint": Joint,
    "independent": Independent,
    "l2": L2,
    "ewc": EWC,
    "online-ewc": OnlineEWC,
    "replay": Replay,
}

__all__ = ["EWC", "L2", "METHODS", "Finetune", "Independent", "Joint", "OnlineEWC", "Replay"]
