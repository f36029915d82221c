"""Text to callable: finds a C compiler, builds and caches shared libraries, loads and calls them.

Knows C text, file names and memory only; never tensors, ops or graphs. Importing this package
loads neither cffi nor a compiler: both wait for the first native call.
"""
