"""``qcore migrate-from django_q``: what is in the tables of django-q comes over.

::

    verb        the command, and its report
    report      what was moved, what was there already, what cannot be moved and why
    tables      the old tables, as unmanaged models of the columns that are there
    schedules   schedules, with their ids where those are free
    results     successes and failures; opened only where the user says so
    packages    what was queued in the ORM broker: verified, sent anew, taken out
    keys        foreign keys of the project that lead to the old tables
"""
