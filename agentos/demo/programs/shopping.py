"""What has to be bought for the stall, in shop sizes."""

import csv
import sys
from pathlib import Path

ITEMS = (
    ("bread flour", "12 kg", 19.20),
    ("butter", "1.5 kg", 14.70),
    ("olive oil", "1 l", 9.80),
    ("sugar and cinnamon", "1 kg", 4.10),
    ("paper bags", "60", 6.50),
)


def write(target: Path) -> None:
    """Write the list."""
    with target.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["what", "how much", "euros"])
        table.writerows((name, amount, f"{euros:.2f}") for name, amount, euros in ITEMS)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
    sys.stdout.write(f"{len(ITEMS)} things to buy\n")
