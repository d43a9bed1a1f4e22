"""`qcore demo`: a real cluster on SQLite in a temporary folder, and what it makes of tasks.

::

    settings  Django's settings of the demo; the folder comes from the environment
    tasks     the functions that are run
    kinds     the kinds of tasks: how they are sent, and how they should end
    progress  what is shown while it runs
    watch     what is done when a task is seen to run
    summary   what became of the tasks, read from the database
    report    the same as it is shown at the end, and as JSON
    runner    all of it, in order
"""
