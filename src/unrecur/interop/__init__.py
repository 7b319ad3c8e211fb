"""Models that other people trained: their recurrences, read as our cells without running a file."""
