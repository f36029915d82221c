"""The lowest room: dtypes, errors, pytrees, the table of settings and where the C sources lie.

Nothing here imports another room of graphc.
"""
