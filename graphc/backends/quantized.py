"""Quantized engines: graphc has none."""

engine = "none"
supported_engines = ["none"]
