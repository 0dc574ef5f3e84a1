"""What each thing on the stall costs to bake, and what it may be sold for."""

import csv
import sys
from pathlib import Path

# Name, how many, what is in one of them and the oven for it, in euros, and its price.
GOODS = (
    ("sourdough loaf", 12, 1.46, 6.00),
    ("cinnamon bun", 24, 0.71, 2.80),
    ("focaccia slice", 20, 0.64, 3.20),
)


def write(target: Path) -> None:
    """Write the table."""
    with target.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["what", "pieces", "cost", "price"])
        for name, pieces, cost, price in GOODS:
            table.writerow([name, pieces, f"{cost:.2f}", f"{price:.2f}"])


if __name__ == "__main__":
    write(Path(sys.argv[1]))
    sys.stdout.write(f"{len(GOODS)} prices\n")
