"""One page for the stall, put together from the tables that two others have made."""

import csv
import sys
from pathlib import Path

RENT = 35.0


def rows_of(table: Path) -> list[dict[str, str]]:
    """The rows of a CSV file with a heading."""
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def page(prices: list[dict[str, str]], shopping: list[dict[str, str]]) -> str:
    """The page: what is sold, what is to be bought, what is left at the end."""
    takings = sum(int(row["pieces"]) * float(row["price"]) for row in prices)
    spent = sum(float(row["euros"]) for row in shopping)
    lines = ["# Saturday's stall", ""]
    lines += [f"- {row['pieces']} × {row['what']} at {row['price']} €" for row in prices]
    lines += ["", "## To buy by Thursday", ""]
    lines += [f"- [ ] {row['what']}, {row['how much']} ({row['euros']} €)" for row in shopping]
    lines += ["", "## When all is sold", ""]
    lines += [f"{takings:.2f} € taken, less {spent:.2f} € of shopping and {RENT:.2f} € rent:"]
    lines += [f"**{takings - spent - RENT:.2f} € are yours.**"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    prices, shopping, target = (Path(argument) for argument in sys.argv[1:4])
    text = page(rows_of(prices), rows_of(shopping))
    target.write_text(text, encoding="utf-8")
    sys.stdout.write(text.splitlines()[-1].strip("*") + "\n")
