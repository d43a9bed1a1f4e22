"""The engine: the processes of a cluster.

::

    sentinel    the main process; one thread; forks, reaps and kills, nothing else
    dispatcher  one process; assigns tasks to workers, keeps time, never forks
      pusher      thread: claims deliveries from the broker, verifies them
      recorder    thread: stores results, then acknowledges, in batches
      renewal     thread: renews leases
      scheduler   thread: lets the scheduler tick
      status      thread: publishes status snapshots
    worker      N processes; each runs one task at a time

Every worker has a private socket to the dispatcher. The processes share no lock and no
queue, so any process can be killed at any moment without hurting another. No module of
the engine imports Django or a broker: the engine is handed ``Services``.
"""
