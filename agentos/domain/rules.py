"""What a worker may do without asking: the shipped rules, in one place.

A worker's file tools write into the folders of its job, its shell runs what it likes in there, and
nothing here makes the shell a sandbox (docs/security.md). What reaches further has a name, and who
may do it unasked stands in `MAY`. All else comes to the owner as a card; what is secret, what is of
home itself and what is of another job is refused, whoever asks.
"""

from enum import StrEnum, auto

from pydantic import BaseModel, ConfigDict, Field


class May(StrEnum):
    """What reaches beyond the folders of a job."""

    fetch = auto()  # read from the network: web pages, downloads, git clone
    install = auto()  # add packages: pip, npm, cargo
    send = auto()  # send, publish, or change something elsewhere: git push, POST, mail, ssh, clouds
    outside = auto()  # write outside of the folders of the job
    system = auto()  # change this machine: sudo, apt, systemctl, crontab, docker
    unseen = auto()  # run what cannot be read beforehand: eval, "$X …", … | sh


WHY = {
    May.fetch: "it reads from the network",
    May.install: "it installs packages",
    May.send: "it sends something out or changes something elsewhere",
    May.outside: "it writes outside of the folders of its job",
    May.system: "it changes this machine",
    May.unseen: "what it would run cannot be read beforehand",
}

# By the kind of task; work that has no task is as `ops`.
MAY: dict[str, frozenset[May]] = {
    "code": frozenset({May.fetch, May.install}),
    "research": frozenset({May.fetch, May.install}),
    "extraction": frozenset({May.fetch, May.install}),
    "writing": frozenset({May.fetch}),
    "ops": frozenset({May.fetch, May.install}),
}


class Rules(BaseModel):
    """The rules of one turn."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    may: frozenset[May] = MAY["ops"]
    # Tools beside the usual ones, commands as they stand, and more folders to write to.
    tools: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


class Granted(BaseModel):
    """A decision of the owner's about exactly one thing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: int
    tool: str
    pattern: str
    digest: str = ""
    allowed: bool = True
    # Used up by one use, which has to be told before.
    once: bool = False


class Request(BaseModel):
    """What a worker would like to do, as the owner is to see it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tool: str = Field(max_length=100)
    pattern: str = Field(max_length=200_000)
    digest: str = ""
    verb: str = Field(max_length=200)
    why: str = Field(max_length=1000)
    detail: str = Field(max_length=400_000)

    def is_meant(self, granted: Granted) -> bool:
        """Whether a decision is about exactly this."""
        same = granted.tool == self.tool and granted.pattern == self.pattern
        return same and granted.digest in ("", self.digest)
