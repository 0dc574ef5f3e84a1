"""A recipe card for a batch of loaves, worked out from baker's percentages."""

import sys
from pathlib import Path

LOAVES = 12
GRAMS_EACH = 900
PERCENT = {"flour": 100, "water": 75, "starter": 20, "salt": 2}


def weights() -> dict[str, int]:
    """Grams of everything. Percentages are of the flour, as bakers count."""
    flour = LOAVES * GRAMS_EACH / sum(PERCENT.values()) * 100
    return {name: round(flour * percent / 100) for name, percent in PERCENT.items()}


def card() -> str:
    """The card, ready to be pinned to a wall."""
    lines = [f"# Sourdough: {LOAVES} loaves of {GRAMS_EACH} g", ""]
    lines += ["| what | grams | of the flour |", "|:--|--:|--:|"]
    lines += [f"| {name} | {grams} | {PERCENT[name]} % |" for name, grams in weights().items()]
    lines += [f"| **dough** | **{sum(weights().values())}** | |", ""]
    lines += ["Friday 18:00 mix, 18:30 to 20:30 fold four times, 22:00 shape, then the fridge."]
    lines += ["Saturday 05:00 oven at 250 °C, 20 minutes with the lid on and 22 without."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(card(), encoding="utf-8")
    sys.stdout.write(f"{sum(weights().values())} g of dough in {LOAVES} loaves\n")
