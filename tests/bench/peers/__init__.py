"""Adapters, one module per peer: how it is installed, configured, fed and started.

On both sides there are:

- ``REQUIREMENTS``: what pip installs; ``PYTHON``: the version it needs, if a newer one;
- ``STORES``: where it can keep its queue: "redis", "postgres", "sqlite";
- ``VARIANTS``: name -> options, for settings other than its documentation's;
- ``APPS`` and ``settings(turn)``: for Django's settings;
- ``workers(turn)``: the command lines that start ``turn.workers`` worker processes.

On the peer's side, in its own environment with Django set up, there are also:

- ``enqueue(kind, task)``: one call, with the function ``work.KINDS[kind]``;
- ``enqueue_many(kind, tasks)``: a batch, where the peer has such a call;
- ``stored()``: how many results it keeps, -1 where it keeps none;
- ``setup()``: tables that are not made by Django's migrations;
- ``fill_results(count)``: stores so many results without running anything; or
- ``finish_all()``: turns waiting tasks into finished ones, which does the same.
"""
