"""How long a text in the tables may be."""

#: Characters that the name of a queue, or the key of a snapshot, may have.
KEY_LENGTH = 255
