"""Run the command line as ``python -m ocms``."""

from ocms.cli import main

main()
