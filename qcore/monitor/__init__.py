"""The view of running clusters, and what terminals need to show it.

::

    look      what there is to see: snapshots, counts, rates; `View`
    plain     a View as lines of text, for any width
    fancy     a View in colours and boxes, where rich is installed
    fit       which workers are shown where there are more than rows
    memory    resident and proportional memory of each process
    screen    where frames appear, in a terminal
    live      one frame after the other until somebody types q
    clusters  the clusters, one View after the other
    text      numbers, units and columns
"""
