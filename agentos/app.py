"""The daemon: the only place that builds things and puts them together."""

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from agentos import far_ends
from agentos import log as logs
from agentos.backends.claude_access import ModelAccess
from agentos.channels.delivery import Deliverer
from agentos.channels.terminal import TerminalChannel
from agentos.config import Config
from agentos.control.answering import AnsweringOperations
from agentos.control.daemon import DaemonOperations, Operations, tidy_daily
from agentos.control.keeping import keep_memory
from agentos.control.server import ControlServer
from agentos.control.tidying import set_old_files_aside
from agentos.domain.clock import SystemClock
from agentos.domain.ports import Channel, Clock
from agentos.domain.quiet import read_hours
from agentos.engine.engine import Engine
from agentos.engine.environment import child_environment
from agentos.engine.forks import ForkServer
from agentos.engine.recovery import end_orphans, recover, settle_ended
from agentos.engine.routes import Routes
from agentos.engine.sessions import Sessions
from agentos.errors import BackendFailed, Misconfigured
from agentos.far_ends import Announce
from agentos.frontdesk.desk import FrontDesk
from agentos.frontdesk.expiry import Expiry
from agentos.home import Home
from agentos.memory.judge import Judge, assignment
from agentos.memory.room import MemoryRoom
from agentos.settings import BACKENDS
from agentos.standins.clock import VirtualClock
from agentos.store import quiet
from agentos.store.database import Database, sqlite_url
from agentos.store.migrate import migrate

log = logs.get(__name__)
_MAX_CRASHES = 5


@dataclass
class Running:
    """What is built, for those who ask how it goes."""

    home: Home
    config: Config
    clock: Clock
    database: Database
    access: ModelAccess
    engine: Engine
    memory: MemoryRoom
    channels: dict[str, Channel]
    pairing_code: str
    stopping: asyncio.Event


def database_url(home: Home, config: Config) -> str:
    """Where the rows are."""
    return config.store.url or sqlite_url(home.database_file)


async def serve(home: Home, config: Config, *, announce: Announce) -> None:
    """Run the daemon until it is told to stop. Raises AgentosError when it cannot start."""
    with home.written():
        logs.configure(home.log_file, level=config.log.level)
    with home.lock():
        home.copy_editable()
        announce(f"agentos runs in {home.root}; its log is {home.log_file}")
        async with _built(home, config, announce=announce) as (running, loops):
            log.info("started", home=str(home.root), pid=os.getpid(), model=running.access.source)
            await _run(running, loops)
    log.info("stopped")


async def _run(running: Running, loops: list[Callable[[], Any]]) -> None:
    """All loops side by side until one of them fails or somebody says stop."""
    tasks = [asyncio.ensure_future(each()) for each in loops]
    ending = asyncio.ensure_future(_end(running))
    try:
        done, _ = await asyncio.wait([*tasks, ending], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        ending.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _end(running: Running) -> None:
    """Wait until somebody says stop, then put the work down while the channels still listen.

    Whoever says it twice does not want to wait.
    """
    stopping, hurry = running.stopping, asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: (hurry if stopping.is_set() else stopping).set())
    await stopping.wait()
    grace = timedelta(seconds=running.config.engine.drain_seconds)
    draining = asyncio.ensure_future(running.engine.dispatcher.stop(grace=grace))
    hurrying = asyncio.ensure_future(hurry.wait())
    await asyncio.wait([draining, hurrying], return_when=asyncio.FIRST_COMPLETED)
    if hurry.is_set():
        await running.engine.dispatcher.stop()
    hurrying.cancel()
    await draining


@asynccontextmanager
async def _built(
    home: Home, config: Config, *, announce: Announce
) -> AsyncIterator[tuple[Running, list[Callable[[], Any]]]]:
    await asyncio.to_thread(end_orphans, home.mark)
    clock: Clock = VirtualClock() if config.standins.clock else SystemClock()
    async with AsyncExitStack() as stack:
        database = Database(database_url(home, config))
        stack.callback(database.close)
        await asyncio.to_thread(migrate, database)
        await asyncio.to_thread(set_old_files_aside, home, database)
        node = home.node()
        # A file of this home's is this daemon's alone.
        theirs = None if database.is_sqlite else node
        await database.write(
            lambda connection: settle_ended(
                connection, at=clock.now(), config=config, home=home, node=theirs
            )
        )
        await database.write(
            lambda connection: recover(
                connection, at=clock.now(), max_crashes=_MAX_CRASHES, node=theirs
            )
        )
        hours = _quiet_hours(config)
        await database.write(
            lambda connection: quiet.set_up(connection, daily=hours, zone=config.owner.timezone)
        )
        access = await far_ends.model_access(home, config, stack=stack, announce=announce)
        roster = await far_ends.open_roster(home, config, stack=stack)
        memory = MemoryRoom(database, home=home, config=config, clock=clock)
        stack.push_async_callback(memory.close)
        engine = Engine(
            database,
            clock=clock,
            config=config,
            home=home,
            environment=lambda mark: child_environment(
                access, home=home.root, mark=mark, others=roster.variables()
            ),
            node=node,
            routes=Routes(
                models={name: config.work_model(name) for name in BACKENDS},
                missing=roster.missing,
                coming=roster.coming,
                fallback=config.backends.fallback,
            ),
            memory=memory,
        )
        stack.push_async_callback(engine.forks.close)
        running, loops = await _wired(
            home,
            config,
            clock,
            database,
            access,
            engine,
            memory,
            stack=stack,
            announce=announce,
        )
        yield running, loops


async def _wired(
    home: Home,
    config: Config,
    clock: Clock,
    database: Database,
    access: ModelAccess,
    engine: Engine,
    memory: MemoryRoom,
    *,
    stack: AsyncExitStack,
    announce: Announce,
) -> tuple[Running, list[Callable[[], Any]]]:
    sessions = Sessions(engine.forks, logs_folder=home.logs)
    stack.push_async_callback(sessions.close)
    stack.callback(lambda: engine.warm.evict(everything=True))
    stack.push_async_callback(engine.dispatcher.stop)
    channels: dict[str, Channel] = {}
    desk = FrontDesk(
        database,
        clock=clock,
        config=config,
        home=home,
        sessions=sessions,
        channels=channels,
        model_source=access.source,
        memory=memory,
        outlook=engine.outlook,
    )
    terminal = TerminalChannel(database, clock=clock, reception=desk)
    channels[terminal.name] = terminal
    pairing_code = f"{secrets.randbelow(1_000_000):06d}"
    telegram = await far_ends.telegram_channel(
        config, database, clock, desk, pairing_code, stack=stack, announce=announce
    )
    if telegram is not None:
        channels[telegram.name] = telegram
    running = Running(
        home,
        config,
        clock,
        database,
        access,
        engine,
        memory,
        channels,
        pairing_code,
        asyncio.Event(),
    )
    model = config.memory.model or config.models.fast
    judge = Judge(sessions.open(assignment(home, model=model), title="judge"))
    kept = keep_memory(database, home=home, config=config, clock=clock, judge=judge, room=memory)
    answering = AnsweringOperations(database, home=home, config=config, clock=clock, desk=desk)
    control = ControlServer(
        home,
        database=database,
        clock=clock,
        config=config,
        extra={
            **terminal.operations(),
            **_operations(running),
            **kept.operations,
            **answering.operations(),
        },
    )
    loops: list[Callable[[], Any]] = [control.run, engine.dispatcher.run, desk.run]
    loops.append(Expiry(database, clock=clock).run)
    loops += [forks_warm(engine.forks), lambda: _evict(engine)]
    loops.append(tidy_daily(database, home=home, clock=clock, days=config.retention.days))
    loops += [*memory.loops, *kept.loops]
    for channel in channels.values():
        loops.append(channel.run)
        loops.append(Deliverer(database, clock=clock, channel=channel).run)
    return running, loops


def _quiet_hours(config: Config) -> str:
    """The quiet hours of the settings as they are kept. Raises Misconfigured."""
    try:
        return str(read_hours(config.quiet.hours)) if config.quiet.hours else ""
    except ValueError as error:
        raise Misconfigured(
            where="quiet.hours", problem=str(error), mend="Or leave it empty for none."
        ) from error


def forks_warm(forks: ForkServer) -> Callable[[], Any]:
    """Have the fork server's imports done before the first message needs them."""

    async def warm() -> None:
        try:
            await forks.start()
        except BackendFailed as error:  # it is tried again when a child is wanted
            log.warning("fork_server_not_warm", problem=str(error))
        await asyncio.Event().wait()

    return warm


async def _evict(engine: Engine) -> None:
    while True:
        await asyncio.sleep(5)
        engine.warm.evict(short_of_memory=engine.machine.short_of_memory)


def _operations(running: Running) -> Operations:
    about = {
        "model_source": running.access.source,
        "model_is_standin": running.access.is_standin,
        "channels": sorted(running.channels),
    }
    return DaemonOperations(
        running.database,
        home=running.home,
        config=running.config,
        clock=running.clock,
        engine=running.engine,
        remembering=running.memory.remembering,
        stopping=running.stopping,
        about=about,
    ).operations()
