"""``python -m snnr``: the command line, where its script is not on the path."""

from snnr.cli import main

if __name__ == "__main__":
    main(prog_name="snnr")
