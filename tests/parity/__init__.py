"""Parity with PyTorch: the same calls under both libraries, compared."""
