"""The native relay: a small C engine, one job wide, behind a thin binding.

In C rather than all in Cython: most of it is structs, lists and system calls, which read best in their own
language, and a driver without Python can put it under the sanitizers.
"""
