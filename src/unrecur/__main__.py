"""`python -m unrecur`."""

from unrecur.cli.main import main

main()
