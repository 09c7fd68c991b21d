"""The source: the Environment Agency's real-time flood-monitoring API.

`http` downloads, `client` knows the addresses, `parse`, `lists` and `gather` make Arrow tables of the answers, `plan`
decides what to ask for, `fetch` does so, and `completeness` detects incomplete answers.
"""
