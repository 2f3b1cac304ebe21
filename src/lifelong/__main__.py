"""`python -m lifelong` is the command `lifelong`."""

from lifelong.cli import main

if __name__ == "__main__":
    main()
