"""`qcore bench`: how fast this project's broker, database and machine are together.

``runner`` goes from the first line to the last; ``ground`` is the queue of its own and
what is left when it has gone; ``sending`` and ``working`` measure; ``report`` tells, and
``writer`` makes text or Markdown of what is told.
"""
