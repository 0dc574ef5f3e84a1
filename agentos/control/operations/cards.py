"""Cards from outside: what waits for the owner, ask, answer."""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Connection

from agentos.control.operations.operation import Here, Limit, Operation, Params, RowId
from agentos.control.operations.shown import Names, shown
from agentos.domain.cards import OTHER, OTHER_LABEL, age, answer_of
from agentos.domain.states import FINISHED_JOBS, CardState, JobState
from agentos.domain.talk import Card
from agentos.domain.work import Job, JobKind
from agentos.engine.questions import ask, check_askable
from agentos.errors import BadRequest, WrongState
from agentos.frontdesk import effects, taps
from agentos.store import cards, jobs, rows, tasks

Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,20}$")]
VIA = "pm"


class CardOption(Params):
    """One way to answer."""

    key: Key
    label: Annotated[str, Field(min_length=1, max_length=60, pattern=r"\S")]
    consequence: Annotated[str, Field(max_length=300)] = ""


class Question(Params):
    """A question to the owner."""

    question: Annotated[str, Field(min_length=1, max_length=3000, pattern=r"\S")]
    options: Annotated[list[CardOption], Field(default_factory=list, max_length=12)]
    expires_seconds: Annotated[float, Field(gt=0, le=366 * 86_400)] | None = None
    other: bool = True


class TaskAsk(Question):
    """One about a task; the job that works on it waits for the answer."""

    task: RowId


class JobAsk(Question):
    """One for a job."""

    job: RowId


class CardList(Params):
    """Which cards."""

    state: CardState | None = CardState.open
    every: bool = False
    limit: Limit = 50


class CardShow(Params):
    """One card."""

    card: RowId


class CardAnswer(Params):
    """The key of an option, or its label; or words of one's own."""

    card: RowId
    answer: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    words: Annotated[str, Field(min_length=1, max_length=10_000, pattern=r"\S")] | None = None


def check_question(params: Question, here: Here) -> None:
    """Keys that are the same could not be told apart; and one is taken."""
    keys = [option.key for option in params.options]
    if len(set(keys)) < len(keys) or OTHER in keys:
        raise BadRequest(problem=f"each option needs a key of its own, and not {OTHER!r}")
    if not keys and not params.other:
        raise BadRequest(problem="without options it can only be answered in words")


def ask_for_task(connection: Connection, params: TaskAsk, here: Here) -> dict[str, Any]:
    """Ask about a task: for the job that works on it, if there is one."""
    tasks.get(connection, params.task)
    its = rows.newest(connection, Job, limit=100, task_id=params.task)
    open_ = [job for job in its if job.state not in FINISHED_JOBS and job.kind is JobKind.agent]
    running = [job for job in open_ if job.state is JobState.running]
    job = next(iter([*running, *reversed(open_)]), None)
    return _ask(connection, params, here, job=job, task_id=params.task)


def ask_for_job(connection: Connection, params: JobAsk, here: Here) -> dict[str, Any]:
    """Ask for a job, which is parked until the answer. Raises WrongState when it has ended."""
    job = jobs.get(connection, params.job)
    check_askable(job)
    return _ask(connection, params, here, job=job, task_id=job.task_id)


def list_all(connection: Connection, params: CardList, here: Here) -> dict[str, Any]:
    """The newest first, or what waits, the oldest first."""
    state = None if params.every else params.state
    if state is CardState.open:
        found = cards.list_open(connection)[: params.limit]
    else:
        found = cards.list_all(connection, state=state, limit=params.limit)
    names = Names(connection)
    return {"cards": [card_line(card, here, names=names) for card in found]}


def show(connection: Connection, params: CardShow, here: Here) -> dict[str, Any]:
    """All of a card."""
    card = cards.get(connection, params.card)
    line = card_line(card, here, names=Names(connection))
    return {"card": {**line, "detail": card.detail, "request": card.request}}


def answer(connection: Connection, params: CardAnswer, here: Here) -> dict[str, Any]:
    """Answer a card as a tap does. Raises WrongState when it has ended before."""
    key, own_words = answer_in(cards.get(connection, params.card), params)
    taps.tap(
        connection,
        params.card,
        key,
        via=VIA,
        home=here.home,
        ways=effects.Ways.of(here.config),
        at=here.at,
        own_words=own_words,
    )
    return answered(connection, params, here)


def answer_in(card: Card, params: CardAnswer) -> tuple[str, str | None]:
    """The key and the words that were meant. Raises BadRequest, WrongState."""
    if card.state is not CardState.open:
        raise _ended(card)
    if (params.answer is None) == (params.words is None):
        raise BadRequest(problem="card.answer needs an option, or words")
    if params.words is not None:
        if not card.other:
            raise BadRequest(problem=f"card {card.id} takes no words; it has {_options(card)}")
        return OTHER, params.words.strip()
    wanted = (params.answer or "").casefold()
    for option in card.options:
        if wanted in (option["key"].casefold(), option["label"].casefold()):
            return option["key"], None
    raise BadRequest(problem=f"card {card.id} has no {params.answer!r}; it has {_options(card)}")


def answered(connection: Connection, params: CardAnswer, here: Here) -> dict[str, Any]:
    """The card as it is now. Raises WrongState when somebody else was faster."""
    card = cards.get(connection, params.card)
    if card.state is not CardState.answered or card.answered_via != VIA:
        raise _ended(card)
    return {"card": card_line(card, here, names=Names(connection))}


def card_line(card: Card, here: Here, *, names: Names) -> dict[str, Any]:
    """A card for a list: without what is long."""
    line = shown(card, without=("detail", "request", "told_run_id", "words_wanted_at"))
    if card.other and card.state is CardState.open:
        line["options"] = [*card.options, {"key": OTHER, "label": OTHER_LABEL, "consequence": ""}]
    line["age"] = age(card, now=here.at)
    line["answer_shown"] = answer_of(card)
    line["task"] = names.task(card.task_id)
    return line


def _ask(
    connection: Connection, params: Question, here: Here, *, job: Job | None, task_id: int | None
) -> dict[str, Any]:
    lasts = timedelta(days=here.config.cards.days)
    if params.expires_seconds is not None:
        lasts = timedelta(seconds=params.expires_seconds)
    card = ask(
        connection,
        job,
        question=params.question.strip(),
        options=[option.model_dump() for option in params.options],
        other=params.other,
        expires_at=here.at + lasts,
        zone=here.config.owner.zone,
        task_id=task_id,
        at=here.at,
    )
    return {"card": card_line(card, here, names=Names(connection))}


def _options(card: Card) -> str:
    return ", ".join(f"{option['key']} ({option['label']})" for option in card.options)


def _ended(card: Card) -> WrongState:
    told = f"the answer was {answer_of(card)}" if card.answer else "it waits for no answer"
    return WrongState(noun="card", name=card.id, state=card.state.value, problem=told)


CARD_OPERATIONS = (
    Operation(name="card.list", writes=False, params=CardList, run=list_all),
    Operation(name="card.show", writes=False, params=CardShow, run=show),
    Operation(name="card.answer", writes=True, params=CardAnswer, run=answer),
    Operation(name="task.ask", writes=True, params=TaskAsk, run=ask_for_task, check=check_question),
    Operation(name="job.ask", writes=True, params=JobAsk, run=ask_for_job, check=check_question),
)
