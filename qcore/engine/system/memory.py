"""Runs in: the sentinel and the dispatcher. Memory that processes share, or give back."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable

from .process import libc

# glibc/malloc.h
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8

#: Bytes from which on a buffer has pages of its own, which the system gets back with it.
#: It is what glibc begins with; then it grows with the largest buffer that was freed.
_OWN_PAGES = 128 * 1024

#: What a person says about the allocator has precedence over what we know.
_SAID_BY_PEOPLE = ("MALLOC_", "GLIBC_TUNABLES")


def settle() -> None:
    """Prepare the memory of this process for being shared with children.

    The objects of now hardly change again. They are hidden from the garbage collector of
    each child, because the collector would write to their pages and so copy them. Free
    pages are given back, and the holes that stay are sorted, so that no child copies a page
    for a hole in it.
    """
    gc.collect()
    give_back()
    _sort_holes()
    gc.freeze()


def give_back() -> None:
    """Give empty pages back to the system.

    Ten thousand tasks left 3 MiB of them in a dispatcher, and half of that comes back.
    """
    if malloc_trim := _glibc("malloc_trim"):
        malloc_trim(0)


def _sort_holes() -> None:
    """Have glibc sort the holes in its heap now.

    It puts this off until somebody asks for more than a hole has, and then writes into each
    hole. Every child would do that in a copy of its own: 220 pages of 4 KiB.
    """
    _ = bytearray(_OWN_PAGES - 8 * 1024)  # the largest that is sure to be in the heap


def unsettle() -> None:
    """Show the collector the objects that ``settle`` has hidden."""
    gc.unfreeze()


def share_one_arena() -> None:
    """Have the threads of this process, which are yet to start, share one heap.

    By default glibc gives each thread a heap. Memory that one thread takes and another
    frees leaves holes. In 20 minutes with arguments of 200 kB, the RSS of a dispatcher went
    from 75.9 MB to 79.6 MB, and with this it stays at 73 MB. The threads do not wait
    for each other, since Python's lock lets one of them work at a time.

    Not in workers: there the allocator is that of the tasks.
    """
    if any(name.startswith(_SAID_BY_PEOPLE) for name in os.environ):
        return
    if mallopt := _glibc("mallopt"):
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _OWN_PAGES)


def _glibc(name: str) -> Callable[..., int] | None:
    """Return a function of glibc; None with another C library."""
    if libc is None or not hasattr(libc, "gnu_get_libc_version"):
        return None
    found: Callable[..., int] = getattr(libc, name)
    return found
