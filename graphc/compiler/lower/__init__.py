"""Groups of graph nodes become loop nests."""
