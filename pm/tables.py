"""How tasks and jobs look in a list."""

from pm.output import Column, when

TASK_COLUMNS = (
    Column("ID", lambda row: str(row["id"])),
    Column("STATE", lambda row: row["state"]),
    Column("KIND", lambda row: row["kind"], wide=True),
    Column("TITLE", lambda row: row["title"], stretch=True),
    Column("PROJECT", lambda row: row["project"] or "", wide=True),
    Column("CHANGED", lambda row: when(row["updated_at"]), wide=True),
)

JOB_COLUMNS = (
    Column("ID", lambda row: str(row["id"])),
    Column("STATE", lambda row: row["state"]),
    Column("P", lambda row: str(row["priority"]), wide=True),
    Column("TITLE", lambda row: row["title"], stretch=True),
    Column("PROJECT", lambda row: row["project"] or "", wide=True),
    Column("ADDED", lambda row: when(row["created_at"]), wide=True),
    Column("ENDED", lambda row: when(row["finished_at"]), wide=True),
)
