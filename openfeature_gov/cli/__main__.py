"""Run `gov` as ``python -m openfeature_gov.cli``."""

from openfeature_gov.cli import main

if __name__ == "__main__":
    main()
