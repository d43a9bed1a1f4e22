"""Frames over a socket: whatever the pieces they come in, the frames are the same."""

from __future__ import annotations

import itertools
import os
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcore.engine.wire.channel import Channel, ChannelClosed, read_frame, write_frame


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    yield Channel(ours), theirs
    ours.close()
    theirs.close()


def receive(channel, count):
    """Return the next frames of a link that something is written to."""
    found = []
    while len(found) < count:
        found += channel.receive()
    return found


def cuts(data, places):
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges) if a < b]


@given(
    frames=st.lists(st.binary(max_size=300), max_size=8),
    places=st.lists(st.integers(min_value=0), max_size=12),
)
def test_any_split_gives_the_same_frames(frames, places):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender, receiver = (
            Channel(socket.socket(fileno=os.dup(ours.fileno()))),
            Channel(theirs),
        )
        stream = b"".join(len(frame).to_bytes(4, "big") + frame for frame in frames)
        found = []
        for piece in cuts(stream, places):
            ours.sendall(piece)
            found += receiver.receive()
        assert found == frames
        sender.close()


@given(frames=st.lists(st.binary(max_size=2000), min_size=1, max_size=20))
def test_what_is_sent_arrives(frames):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender, receiver = Channel(ours), Channel(theirs)
        for frame in frames:
            sender.send(frame)
        assert receive(receiver, len(frames)) == frames


@given(sizes=st.lists(st.integers(0, 700_000), min_size=1, max_size=5))
def test_frames_larger_than_the_socket_takes(sizes):
    """What does not fit is kept, and flushed when there is room; the order holds."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender, receiver = Channel(ours), Channel(theirs)
        frames = [os.urandom(size) for size in sizes]
        found = []
        for frame in frames:
            sender.send(frame)
        while len(found) < len(frames):
            sender.flush()
            found += receiver.receive()
        assert found == frames
        assert sender.flush()


def test_send_says_whether_all_has_left(pair):
    channel, _ = pair
    assert channel.send(b"small")
    assert not channel.send(bytes(10_000_000))
    assert not channel.flush()
    assert not channel.send(b"queued behind it"), "the order holds"


def test_a_frame_sent_later_takes_what_was_left_over_along(pair):
    """Nobody need call flush for a link on which something is said now and then."""
    channel, theirs = pair
    large = os.urandom(600_000)
    assert not channel.send(large)
    other = Channel(theirs)
    found = []
    while not found:
        found = other.receive()
        channel.send(b"") if not found else None
    assert found[0] == large


def test_descriptors_travel_in_order(pair):
    channel, theirs = pair
    receiver = Channel(theirs)
    pipes = [os.pipe() for _ in range(3)]
    for number, (_, write) in enumerate(pipes):
        channel.send(b"with", [write])
        channel.send(f"without {number}".encode())
    frames = []
    while len(frames) < 6:
        frames += receiver.receive_with_fds()
    assert frames == [
        b"with", b"without 0", b"with", b"without 1", b"with", b"without 2",
    ]  # fmt: skip
    for number, (read, write) in enumerate(pipes):
        os.close(write)
        received = receiver.fds.popleft()
        os.write(received, str(number).encode())
        os.close(received)
        assert os.read(read, 10) == str(number).encode()
        os.close(read)


def test_close_closes_descriptors_that_nobody_took(pair):
    channel, theirs = pair
    receiver = Channel(theirs)
    read, write = os.pipe()
    channel.send(b"", [write])
    os.close(write)
    receiver.receive_with_fds()
    receiver.close()
    assert os.read(read, 1) == b"", "no writer is left"
    os.close(read)


def test_no_descriptor_is_sent_past_what_waits(pair):
    channel, _ = pair
    channel.send(bytes(10_000_000))
    with pytest.raises(ChannelClosed, match="descriptor"):
        channel.send(b"", [0])


def test_nothing_yet_is_no_frame(pair):
    channel, _ = pair
    assert channel.receive() == []
    assert channel.receive_with_fds() == []


def test_the_end_of_the_other_side(pair):
    channel, theirs = pair
    write_frame(theirs, b"last words")
    theirs.close()
    assert channel.receive() == [b"last words"]
    with pytest.raises(ChannelClosed):
        channel.receive()
    with pytest.raises(ChannelClosed):
        channel.send(b"anybody?")
    with pytest.raises(ChannelClosed):
        channel.send(b"anybody?", [0])


def test_half_a_frame_and_then_the_end(pair):
    """A worker killed while it wrote its reply: what it wrote is no frame."""
    channel, theirs = pair
    theirs.sendall((1000).to_bytes(4, "big") + b"only so much")
    theirs.close()
    assert channel.receive() == []
    with pytest.raises(ChannelClosed):
        channel.receive()


def test_last_words_though_the_link_is_still_open(pair):
    """A process that the dead one forked holds its end, and says nothing."""
    channel, theirs = pair
    large = os.urandom(100_000)
    for frame in (b"one", large):
        write_frame(theirs, frame)
    theirs.sendall((1000).to_bytes(4, "big") + b"half of the third")
    assert channel.last_words() == [b"one", large]
    theirs.close()
    assert channel.last_words() == []


@pytest.mark.parametrize("size", [0, 1, 3, 4, 100_000, 300_000, 5_000_000])
def test_blocking_ends(size):
    ours, theirs = socket.socketpair()
    frame = os.urandom(size)
    with ours, theirs:
        writer = threading.Thread(target=write_frame, args=(ours, frame))
        writer.start()
        assert read_frame(theirs) == frame
        writer.join()


@given(frame=st.binary(max_size=60), places=st.lists(st.integers(0), max_size=6))
def test_a_blocking_reader_puts_pieces_together(frame, places):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        found = []
        reader = threading.Thread(target=lambda: found.append(read_frame(theirs)))
        reader.start()
        for piece in cuts(len(frame).to_bytes(4, "big") + frame, places):
            ours.send(piece)
        reader.join()
        assert found == [frame]


@pytest.mark.parametrize("sent", [b"", b"\0\0", b"\0\0\0\x09half"])
def test_a_blocking_reader_hears_the_end(sent):
    ours, theirs = socket.socketpair()
    with theirs:
        ours.sendall(sent)
        ours.close()
        assert read_frame(theirs) is None
