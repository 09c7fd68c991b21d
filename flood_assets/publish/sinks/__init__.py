"""The places to which changes are published, each in its own module: `base` says what they have in common.

Their modules are imported when a sink of their kind is opened, and not before.
"""
