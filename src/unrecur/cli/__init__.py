"""The command line: one file per verb, each thin over the package's functions.

Nothing heavy is imported before a verb runs.
"""
