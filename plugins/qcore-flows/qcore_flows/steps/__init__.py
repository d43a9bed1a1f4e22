"""Durable steps: a task remembers what it has done, under names.

::

    options    the options of tasks: durable, version, accepts
    calls      step, sleep_until, wait_event and the others, as users call them
    spawning   spawn: a run sends a task
    waiting    wait, wait_all: a run waits for the ends of such tasks
    children   these tasks, and how they have ended
    lost       looks for those of which nothing is heard any more
    run        the run of a task: opened, asked for steps, closed
    opening    the number of each start of a run
    memory     what a run has stored
    events     emit
    renewal    keeps runs of this worker from being begun elsewhere
    settling   what becomes of a run when its task has ended or waits
    resuming   what a task that is sent again takes over
    status     what has become of runs, and their timelines
    sweeping   deletes what is old
    ledger     the ledger that runs are kept in
    names      names of steps and events, and their digests
    values     values as they are stored
    moments    times that callers give, and the clock of a run
    errors     what durable tasks are told
    words      states of a run, and kinds of steps
"""
