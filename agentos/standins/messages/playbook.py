"""Which scripted reply a request gets, and how often rules and faults have been used."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from re import Match, Pattern

from agentos.standins.messages.turn import Turn
from agentos.standins.script import Fault, Reply, Rule


@dataclass(slots=True)
class _Played:
    """A rule and its use. `open_turns` are begun and not at their last reply."""

    rule: Rule
    turns: int = 0
    open_turns: set[str] = field(default_factory=set)
    faults: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scripted:
    """The reply of a rule to one request; `fault` is set when it goes wrong this time."""

    rule: str
    position: int
    reply: Reply | None  # None: the turn has more requests than the rule has replies
    fault: Fault | None
    values: dict[str, str]


class Playbook:
    """The rules in order, with what has been played of them."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._played = [_Played(rule) for rule in rules]

    def append(self, rules: Iterable[Rule]) -> None:
        """Rules to be tried after those that are there."""
        self._played.extend(_Played(rule) for rule in rules)

    def clear(self) -> None:
        """Forget every rule."""
        self._played.clear()

    def __len__(self) -> int:
        return len(self._played)

    def choose(self, turn: Turn) -> Scripted | None:
        """The reply for a request, or None when no rule fits.

        A turn stays with its rule to the end, and a request that is sent again after a fault
        belongs to the same turn, so `times` counts turns and not tries.
        """
        for number, played in enumerate(self._played):
            values = _fits(played.rule, turn)
            if values is None or not _may_serve(played, turn):
                continue
            return _serve(played, turn, values=values, number=number)
        return None


def _may_serve(played: _Played, turn: Turn) -> bool:
    if turn.key in played.open_turns or played.rule.times is None:
        return True
    return played.turns < played.rule.times


def _serve(played: _Played, turn: Turn, *, values: dict[str, str], number: int) -> Scripted:
    position = turn.answered
    replies = played.rule.turn
    if turn.key not in played.open_turns:
        played.turns += 1
        played.open_turns.add(turn.key)
    reply = replies[position] if position < len(replies) else None
    fault = reply.fault if reply else None
    if fault is not None:
        used = played.faults.get(position, 0)
        if fault.times is not None and used >= fault.times:
            fault = None
        else:
            played.faults[position] = used + 1
    if fault is None and position >= len(replies) - 1:
        played.open_turns.discard(turn.key)
    name = played.rule.name or f"rule {number}"
    return Scripted(rule=name, position=position, reply=reply, fault=fault, values=values)


def _fits(rule: Rule, turn: Turn) -> dict[str, str] | None:
    """The placeholder values when the rule fits the request, None when it does not."""
    when = rule.when
    if when.schema_property and when.schema_property not in turn.schema_properties:
        return None
    if when.tool and when.tool not in turn.tools:
        return None
    values = {"cwd": turn.cwd, "artefacts": turn.artefacts, "prompt": turn.prompt}
    pairs: tuple[tuple[Pattern[str] | None, str], ...] = (
        (when.system, turn.system),
        (when.prompt, turn.prompt),
        (when.model, turn.model),
    )
    for pattern, text in pairs:
        if pattern is None:
            continue
        match = pattern.search(text)
        if match is None:
            return None
        values.update(_groups(match))
    return values


def _groups(match: Match[str]) -> dict[str, str]:
    return {f"match.{name}": value or "" for name, value in match.groupdict().items()}
