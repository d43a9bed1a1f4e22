"""The doctor: examines what a project needs before tasks can run, and says what to do.

::

    examination   asks every section in turn; a failing one is a finding itself
    setup         settings, plugins, broker choice
    services      broker and cache: do they answer, how fast, what do they say
    databases     the same of databases, and whether their tables are there
    tables        which migrations are missing; `qcore cluster` asks it, too
    clusters      what runs: problems, versions, keys, quarantined packages
    measures      round trips and clocks
    report        the findings as text and JSON
"""
