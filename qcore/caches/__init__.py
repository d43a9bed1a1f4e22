"""Cache backends: the contract (``base``) and the Django adapter (``django``)."""
