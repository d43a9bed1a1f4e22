"""Durable steps: a task remembers what it has done, under names.

::

    options    the options of tasks: durable, version, accepts
    calls      step, sleep_until, wait_event and the others, as users call them
    run        the run of a task: opened, fenced, closed
    memory     what a run has stored
    waiting    sleeps and events inside a run
    events     emit
    renewal    keeps runs of this worker from being begun elsewhere
    settling   what becomes of a run when its task has ended or waits
    sweeping   deletes what is old
    lookup     what runs do, for people
    names, values, moments, errors, words
"""
