"""Models as files of other runtimes: each is run beside its model before it is kept."""
