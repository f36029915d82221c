"""The data of the compiler and its printing: Op records, Graph, loop IR, index algebra."""
