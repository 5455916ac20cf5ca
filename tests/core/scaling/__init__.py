"""The cases of `test_scaling.py`, by the objects whose operations they call.

A module registers its cases when it is imported. A case prepares a machine for a size, and returns the action
whose cost is measured.
"""

from core.scaling import members, messages, requests, topics
from core.scaling.stage import CASES

__all__ = ["CASES", "members", "messages", "requests", "topics"]
