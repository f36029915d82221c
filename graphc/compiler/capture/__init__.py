"""Capture: user code in, Graph plus guards plus a delivery plan out."""
