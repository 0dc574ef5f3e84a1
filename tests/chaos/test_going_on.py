"""Who goes on with a job that was interrupted, and what a fork server that hangs costs."""

import os
import signal
from pathlib import Path

from sqlalchemy import Connection

from agentos.backends.claude_access import standin_access
from agentos.config import Config
from agentos.domain.work import Job, Worker
from agentos.engine.claiming import Claims, Present, Started
from agentos.engine.environment import child_environment
from agentos.engine.forks import ForkServer
from agentos.engine.lanes import Under
from agentos.engine.recovery import put_back
from agentos.engine.routes import Routes
from agentos.home import Home
from agentos.standins.clock import VirtualClock
from agentos.store import jobs, runs, workers
from agentos.store.database import Database


def _claims(clock: VirtualClock) -> Claims:
    routes = Routes(models={"claude": "sonnet"})
    return Claims(clock=clock, config=Config(), node="here", routes=routes)


def _queue(connection: Connection, title: str, *, clock: VirtualClock) -> int:
    row = Job(title=title, prompt="dig", created_at=clock.now())
    return jobs.enqueue(connection, row).id or 0


def _hire(connection: Connection, name: str, *, clock: VirtualClock) -> None:
    row = Worker(
        name=name,
        model="sonnet",
        persistent=True,
        session_id=f"session of {name}",
        created_at=clock.now(),
    )
    workers.add(connection, row)


def _start(connection: Connection, claims: Claims) -> Started:
    (started,) = claims.start(connection, Present(under=Under())).started
    return started


def test_what_was_begun_goes_on_in_its_own_session_though_a_worker_is_free(
    database: Database, clock: VirtualClock
) -> None:
    claims = _claims(clock)
    with database.begin() as connection:
        _queue(connection, "dig", clock=clock)
        begun = _start(connection, claims)
        runs.change_live(connection, begun.run, session_id="its own")
        _hire(connection, "scribe", clock=clock)
        put_back(connection, at=clock.now())
        again = _start(connection, claims)
    assert (again.job.id, again.run.session_id) == (begun.job.id, "its own")
    assert again.worker.name != "scribe"


def test_what_a_persistent_worker_has_begun_waits_for_it(
    database: Database, clock: VirtualClock
) -> None:
    claims = _claims(clock)
    with database.begin() as connection:
        _hire(connection, "scribe", clock=clock)
        dig = _queue(connection, "dig", clock=clock)
        begun = _start(connection, claims)
        assert begun.worker.name == "scribe"
        put_back(connection, at=clock.now())
        _hire(connection, "clerk", clock=clock)
        again = _start(connection, claims)
    assert (again.job.id, again.worker.name) == (dig, "scribe")
    assert again.run.session_id == "session of scribe"


async def test_a_fork_server_that_hangs_is_replaced(home: Home, tmp_path: Path) -> None:
    access = standin_access("http://127.0.0.1:1", config_folder=home.claude_config)
    forks = ForkServer(
        home=home.root,
        environment=lambda mark: child_environment(access, home=home.root, mark=mark),
        mark=home.mark,
    )
    try:
        await forks.start()
        frozen = forks.pid or 0
        os.kill(frozen, signal.SIGSTOP)
        child = await forks.spawn(title="a child", stderr=tmp_path / "errors.log")
        assert forks.pid != frozen and child.alive
    finally:
        await forks.close()
