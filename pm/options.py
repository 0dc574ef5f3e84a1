"""Options that several commands share."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")]
ProjectOption = Annotated[
    str | None, typer.Option("--project", "--project-id", help="Its id or its name.")
]
