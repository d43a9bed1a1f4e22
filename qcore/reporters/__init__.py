"""Error reporters: the contract (``base``) and the log (``log``)."""
