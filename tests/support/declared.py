"""The settings of the core and of the plugins of this repository that are installed."""

from __future__ import annotations

from functools import partial

from qcore.conf import Conf, fields
from qcore.conf import problems as problems_of
from qcore.plugins import Registry

#: What plugins declare; a stranger's, and the template's, are in a group of their own.
DECLARED = tuple(one for one in Registry().settings() if one.group != "plugins")
TABLE = (*fields(), *DECLARED)

from_dict = partial(Conf.from_dict, settings=DECLARED)
problems = partial(problems_of, settings=DECLARED)
