"""`agentos`: what can be said to it. Each command is a module of its own, imported when called."""

import importlib
from datetime import timedelta
from pathlib import Path
from typing import Annotated, NoReturn

import typer

import agentos
from agentos.control import command
from agentos.home import Home, default_home

app = typer.Typer(
    name="agentos",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="""A personal agent system you text.

\b
  agentos chat                      talk to it here
  agentos chat --message "Hi" --wait   one message, for scripts
  agentos up                        run it in the background of your life
  agentos doctor                    what works and what does not
""",
)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def main() -> NoReturn:
    """The entry point."""
    command.run(lambda: app(prog_name="agentos"))


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"agentos {agentos.__version__}")
        raise typer.Exit


@app.callback()
def _agentos(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Tell the version."),
    ] = False,
) -> None:
    pass


@app.command()
def init(as_json: AsJson = False) -> None:
    """Make the home folder, with settings to edit.

    \b
    Example: AGENTOS_HOME=~/my-agents agentos init
    """
    _call("agentos.cli.init", home=_home(), as_json=as_json)


@app.command()
def up(
    takeover: Annotated[
        bool, typer.Option("--takeover", help="Replace the daemon that runs, if one does.")
    ] = False,
) -> None:
    """Run agentos until it is stopped. Ctrl-C stops it, a second one at once.

    \b
    What runs is brought to a safe point first, and goes on after the next start.
    After an update: agentos up --takeover
    """
    _call("agentos.cli.up", home=_home(), takeover=takeover)


@app.command()
def chat(
    message: Annotated[
        str | None, typer.Option("--message", "-m", help="Send this and end; - reads it.")
    ] = None,
    file: Annotated[
        list[Path] | None, typer.Option(help="A file to send along; several times.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the work it starts.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait at most.")] = 600.0,
    as_json: AsJson = False,
) -> None:
    """Talk here. Starts agentos when it is not running, and stops it again at the end.

    \b
    Lines from a pipe are sent one by one, each when the one before is answered and done.
    With --wait it ends with 0 when all is done, 1 when a job failed, 3 when the time was up.

    \b
    Examples:
      agentos chat
      agentos chat --message "Write a haiku into a file" --wait
      agentos chat --message "What is in this?" --file notes.txt --wait --json
    """
    if message is None and (wait or as_json or file):
        raise typer.BadParameter("it goes with --message", param_hint="--wait, --json, --file")
    module = "agentos.cli.chat" if message is None else "agentos.cli.once"
    if message is None:
        _call(module, home=_home(), within=timedelta(seconds=timeout))
    else:
        files = [path.expanduser().resolve() for path in file or ()]
        _call(
            module,
            home=_home(),
            text=message,
            files=files,
            wait=wait,
            within=timedelta(seconds=timeout),
            as_json=as_json,
        )


@app.command()
def demo(
    as_json: AsJson = False,
    pages: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Draw the chat at each turn as web pages."),
    ] = None,
) -> None:
    """Watch a story in under a minute: no key and no account needed.

    \b
    Each step is checked; the status is 1 when one of them failed.
    """
    _call("agentos.demo", as_json=as_json, pages=pages)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check each part and say what to do about what is wrong."""
    _call("agentos.cli.doctor", home=_home(), as_json=as_json)


def _home() -> Home:
    return Home(default_home())


def _call(module: str, **words: object) -> None:
    """Run a command's module; what it returns is the exit status.

    The daemon's modules cost a second to import, and `agentos --help` needs none of them.
    """
    status = importlib.import_module(module).run(**words)
    raise typer.Exit(status or 0)
