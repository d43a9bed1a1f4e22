"""Django signals of qcore, with the names and arguments that django-q's users know.

The sender is the string ``"qcore"``. A receiver that raises is logged and changes
nothing else.
"""

from __future__ import annotations

from django.dispatch import Signal

SENDER = "qcore"

#: In the producer, before signing. ``task``: a dict of name, func, args, kwargs and
#: options; a receiver may change it, and what it leaves there is sent.
pre_enqueue = Signal()

#: In the worker, before the task runs. ``func``: the function; ``task``: the Task.
pre_execute = Signal()

#: In the worker, after the task, however it ended. ``func``, ``task``, ``error``: the
#: exception or None, and ``result``: what the task has returned; None where it failed.
post_execute_in_worker = Signal()

#: In the dispatcher, once the result is stored. ``task``: the Result.
post_execute = Signal()

#: In a worker process, when it has started. ``proc_name``: its title.
post_spawn = Signal()
