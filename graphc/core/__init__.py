"""Tensors, the funnel that every op call goes through, the tape, and what capture observes."""
