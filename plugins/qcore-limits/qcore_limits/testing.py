"""What every limiter promises, as tests: for authors of limiters.

::

    class TestLimiter(LimiterContract):
        def make_limiter(self):
            return SpoolLimiter(Conf.from_dict({...}))
"""

from __future__ import annotations

import secrets
import time

from .limiter import Bucket, Limiter

HOUR = 3600.0


class LimiterContract:
    """Tests of a limiter; nothing else is to know of its buckets."""

    def make_limiter(self) -> Limiter:
        """Return a limiter; all that are made by it have the same buckets."""
        raise NotImplementedError

    @staticmethod
    def bucket(pace: float = HOUR, burst: int = 5, most: int = 0) -> Bucket:
        """Return what is asked of a new bucket."""
        return Bucket(secrets.token_hex(16), pace, burst, most)

    def test_a_new_bucket_is_full(self) -> None:
        """It has as many starts as it can have, and a look takes none of these."""
        limiter, bucket = self.make_limiter(), self.bucket()
        assert [limiter.draw([bucket]), limiter.draw([bucket])] == [[5], [5]]

    def test_what_is_drawn_is_gone_for_all(self) -> None:
        """Another process finds what the first one has left."""
        first, second = self.make_limiter(), self.make_limiter()
        bucket = self.bucket(most=2)
        assert first.draw([bucket]) == [5]
        (left,) = second.draw([bucket])
        assert 3 <= left < 4
        (left,) = first.draw([bucket._replace(most=0)])
        assert 1 <= left < 2

    def test_no_more_is_drawn_than_there_is(self) -> None:
        """Who wants more gets what there is, and the part of a start stays."""
        limiter, bucket = self.make_limiter(), self.bucket(most=9)
        assert limiter.draw([bucket]) == [5]
        for _ in range(3):
            (left,) = limiter.draw([bucket])
            assert 0 <= left < 1

    def test_several_buckets_in_one_question(self) -> None:
        """The answers have the order of the questions."""
        limiter = self.make_limiter()
        buckets = [self.bucket(burst=burst, most=1) for burst in (3, 1, 2)]
        assert limiter.draw(buckets) == [3, 1, 2]
        found = limiter.draw(buckets)
        assert [int(left + 1e-3) for left in found] == [2, 0, 1]

    def test_starts_that_were_not_made_go_back(self) -> None:
        """A bucket never has more than its burst; one that nobody has drawn from is full."""
        limiter, bucket = self.make_limiter(), self.bucket(most=5)
        limiter.draw([bucket])
        limiter.give_back({bucket.key: 2})
        (left,) = limiter.draw([bucket._replace(most=1)])
        assert 2 <= left < 3
        limiter.give_back({bucket.key: 9})
        assert limiter.draw([bucket]) == [5]
        other = self.bucket()
        limiter.give_back({other.key: 3})
        assert limiter.draw([other]) == [5]

    def test_a_bucket_gains_starts_at_its_pace(self) -> None:
        """The next start is not there before its time, and it comes."""
        pace = 0.2
        limiter, bucket = self.make_limiter(), self.bucket(pace, 1, 1)
        begun = time.monotonic()
        assert limiter.draw([bucket]) == [1]
        while limiter.draw([bucket])[0] < 1 - 1e-3:
            time.sleep(pace / 10)
        # the clock of the service is another one: a tenth for its steps
        assert time.monotonic() - begun >= pace * 0.9

    def test_a_burst_that_is_lowered_holds_at_once(self) -> None:
        """The numbers are those of the question."""
        limiter, bucket = self.make_limiter(), self.bucket(burst=9, most=1)
        assert limiter.draw([bucket]) == [9]
        assert limiter.draw([bucket._replace(burst=4)]) == [4]

    def test_the_largest_numbers(self) -> None:
        """A pace of a year, and a burst of 100,000."""
        limiter = self.make_limiter()
        bucket = self.bucket(366 * 86_400.0, 100_000, 100)
        assert limiter.draw([bucket]) == [100_000]
        (left,) = limiter.draw([bucket])
        assert 99_900 <= left < 99_901
