"""The compiler: capture, passes, lowering, code generation, programs."""
