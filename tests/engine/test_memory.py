"""Memory: what children share, and how many heaps the threads of a dispatcher have."""

from __future__ import annotations

import gc
import os
import platform
import subprocess
import sys

import pytest

from qcore.engine.system import memory

# Threads that allocate at the same time; then what glibc says of its heaps.
THREADS = """
import ctypes, threading
from qcore.engine.system.memory import share_one_arena

share_one_arena()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
together = threading.Barrier(4)

def allocate():
    together.wait()
    libc.malloc(1000)
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""

# A thousand holes in the heap. A child asks for more than any of them has, and says how
# many pages it has got for itself by that.
HOLES = """
import os, resource
from qcore.engine.system.memory import settle

def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

full = [bytes(4000) for _ in range(2000)]
del full[::2]
settle()
if os.fork() == 0:
    before = pages()
    there = bytearray(40_000)
    print(pages() - before, flush=True)
    os._exit(0)
os.wait()
"""


def heaps_of_threads(**more: str) -> int:
    """Return how many heaps there are in a process with four threads."""
    said = [name for name in os.environ if name.startswith("MALLOC_")]
    environment = {k: v for k, v in os.environ.items() if k not in said} | more
    words = [sys.executable, "-c", THREADS]
    done = subprocess.run(
        words, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.count("<heap nr=")


def test_what_children_share_is_kept_from_the_collector():
    memory.settle()
    try:
        assert gc.get_freeze_count() > 1000
    finally:
        memory.unsettle()
    assert gc.get_freeze_count() == 0


@pytest.mark.live
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc has such heaps")
def test_threads_of_a_dispatcher_share_a_heap():
    assert heaps_of_threads() == 1


@pytest.mark.live
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc has such heaps")
def test_what_a_person_says_about_heaps_stays():
    assert heaps_of_threads(MALLOC_ARENA_MAX="3") > 1


@pytest.mark.live
@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="glibc sorts its holes late"
)
def test_a_child_does_not_write_into_the_holes_of_the_heap():
    done = subprocess.run(
        [sys.executable, "-c", HOLES], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 200


@pytest.mark.parametrize("name", ["settle", "unsettle", "share_one_arena"])
def test_another_library_is_left_alone(name, monkeypatch):
    monkeypatch.setattr(memory, "libc", None)  # as on macOS
    getattr(memory, name)()
    gc.unfreeze()
