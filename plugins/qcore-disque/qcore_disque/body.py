"""The body of a job: a package, with the attempts it had as another job, if any.

Disque counts the deliveries of a job. A package that is given back with a delay must
become a new job, whose count begins again; the body then says what was before.
"""

from __future__ import annotations

# A package that happens to begin so is marked, too; so nothing is taken for a mark.
_MARK = b"\x00qcore-attempts:"
_END = b"\n"
# Digits of the highest number that is believed; a longer one is not of ours.
_MOST_DIGITS = 9


def wrap(package: bytes, attempts: int = 0) -> bytes:
    """Return the body for a package that was delivered ``attempts`` times before."""
    if attempts or package.startswith(_MARK):
        return b"%s%d%s%s" % (_MARK, attempts, _END, package)
    return package


def unwrap(body: bytes) -> tuple[bytes, int]:
    """Return the package and the attempts before this job."""
    if not body.startswith(_MARK):
        return body, 0
    digits, end, package = body[len(_MARK) :].partition(_END)
    if not end or not digits.isdigit() or len(digits) > _MOST_DIGITS:
        return body, 0  # not one of ours; its signature will be judged
    return package, int(digits)
