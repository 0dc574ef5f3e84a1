"""`python -m agentos.cli`."""

from agentos.cli import main

if __name__ == "__main__":
    main()
