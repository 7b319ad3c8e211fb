"""The checker of annotations in tests: beartype, with an int accepted where a float is."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
