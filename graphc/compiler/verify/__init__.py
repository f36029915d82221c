"""Verification: what a function does to everything it reaches (`state`), runs of it compared
(`outcome`), the stage that is at fault (`locate`), the smallest graph that shows it (`shrink`), and
a program that shows it (`script`). Invariant: the user's state is what it was."""
