"""Text views of what the compiler did."""
