"""Result stores: the contract (``base``), database, cache and memory."""
