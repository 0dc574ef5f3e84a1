"""`python -m agentos.standins messages|…|bot`: run one stand-in until it is told to stop."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from agentos.errors import AgentosError
from agentos.loopback.serving import serve
from agentos.standins.bot.app import BotStandin
from agentos.standins.gemini.app import GeminiStandin
from agentos.standins.messages.app import MessagesStandin
from agentos.standins.model_api import ModelStandin
from agentos.standins.responses.app import ResponsesStandin
from agentos.standins.script import Script, load_script

_MODELS: dict[str, Callable[[Script], MessagesStandin | ModelStandin]] = {
    "messages": MessagesStandin,
    "gemini": GeminiStandin,
    "responses": ResponsesStandin,
}


def main() -> int:
    """Parse, build the app, serve. A wrong script is one line on stderr and exit 1."""
    options = _parser().parse_args()
    try:
        if options.kind == "bot":
            app = BotStandin(token=options.token, limits=options.limits).app()
        else:
            script = load_script(options.script) if options.script else Script()
            app = _MODELS[options.kind](script).app()
        serve(app, port=options.port, with_parent=options.with_parent)
    except (AgentosError, OSError) as wrong:
        sys.stderr.write(f"{wrong}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m agentos.standins", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    messages = kinds.add_parser("messages", help="the Claude Messages API")
    gemini = kinds.add_parser("gemini", help="the Gemini API")
    responses = kinds.add_parser("responses", help="the OpenAI Responses API")
    for model in (messages, gemini, responses):
        model.add_argument("--script", type=Path, help="a JSON file of rules to play")
    bot = kinds.add_parser("bot", help="the Telegram Bot API")
    bot.add_argument("--token", default="1000001:stand-in", help="the bot's token")
    bot.add_argument("--limits", action="store_true", help="refuse floods as Telegram does")
    for kind in (messages, gemini, responses, bot):
        kind.add_argument("--port", type=int, default=0, help="0 takes a free one")
        kind.add_argument("--with-parent", action="store_true", help="exit when stdin ends")
    return parser


if __name__ == "__main__":
    sys.exit(main())
