"""``python -m apiece``: the command where no script of its name lies on the path."""

from apiece.cli import main

if __name__ == "__main__":
    main()
