"""The places to which events of readings and alerts are sent, each in its own module.

`base` says what they have in common, `events` what they are given.

Their modules are imported when a sink of their kind is opened, and not before.
"""
