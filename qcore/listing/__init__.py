"""The list of tasks: what is asked for, and where tasks are found.

The dashboard and ``qcore tasks`` show it. ::

    query     the words of a search: func:shop.* state:dead since:1h
    rows      what the list shows of a task, whichever place it is found in
    running   the workers of the clusters
    tracked   tracked tasks that have not ended
    outbox    tasks that are sent later, parked or suspended
    finished  the table of results
    places    one list of all of them, page by page
"""
