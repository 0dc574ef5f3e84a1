"""The engine, put together: what a database, a home and an environment for children make of it."""

from collections.abc import Callable, Mapping
from datetime import timedelta

from agentos.config import Config
from agentos.domain.ports import Clock
from agentos.engine.claiming import Claims, Started
from agentos.engine.consulting import Consulting
from agentos.engine.dispatcher import Dispatcher
from agentos.engine.forks import ForkServer
from agentos.engine.machine import Machine
from agentos.engine.outlook import Outlook
from agentos.engine.questions import Questions
from agentos.engine.routes import Routes
from agentos.engine.supervisor import Supervisor
from agentos.engine.warmth import WarmChildren
from agentos.home import Home
from agentos.memory.room import MemoryRoom
from agentos.store.database import Database

# The environment of a child, for the mark that it carries.
Environment = Callable[[str], Mapping[str, str]]


class Engine:
    """The dispatcher, and the processes it starts work in."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        config: Config,
        home: Home,
        environment: Environment,
        node: str,
        routes: Routes | None = None,
        memory: MemoryRoom | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._config = config
        self._home = home
        self._memory = memory
        self._questions = Questions(database, clock=clock, config=config)
        self.routes = routes or Routes(models={"claude": config.models.work})
        self.forks = ForkServer(home=home.root, environment=environment, mark=home.mark)
        self.machine = Machine(
            least_memory_mb=config.capacity.least_memory_mb, most_load=config.capacity.most_load
        )
        self.warm = WarmChildren(
            keep=timedelta(seconds=config.engine.warm_seconds), most=config.engine.slots
        )
        self.claims = Claims(clock=clock, config=config, node=node, routes=self.routes)
        self.dispatcher = Dispatcher(
            database,
            clock=clock,
            config=config,
            claims=self.claims,
            attend=self.attend,
            machine=self.machine,
            node=node,
        )
        self.outlook = Outlook(
            dispatcher=self.dispatcher, claims=self.claims, clock=clock, zone=config.owner.zone
        )

    def attend(self, started: Started) -> Supervisor:
        """Who attends a run that was claimed."""
        consulting = Consulting(
            started.run,
            job=started.job,
            worker=started.worker,
            database=self._database,
            config=self._config,
            questions=self._questions,
            memory=self._memory,
        )
        return Supervisor(
            started.run,
            job=started.job,
            worker=started.worker,
            database=self._database,
            clock=self._clock,
            config=self._config,
            home=self._home,
            forks=self.forks,
            warm=self.warm,
            consulting=consulting,
        )
