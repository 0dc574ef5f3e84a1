"""Our own tools for the Claude CLI: an MCP server inside of this process.

The CLI knows them under names with a prefix. What is asked goes up the pipe to the daemon.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from claude_agent_sdk import SdkMcpTool, create_sdk_mcp_server
from claude_agent_sdk.types import McpSdkServerConfig

from agentos.domain.frames import Answered, Tool

SERVER = "agentos"
PREFIX = f"mcp__{SERVER}__"
# Asks the daemon: the tool's own name and what it was called with.
Ask = Callable[[str, Mapping[str, Any]], Awaitable[Answered]]


def server_of(tools: Sequence[Tool], ask: Ask) -> McpSdkServerConfig:
    """A server with these tools."""
    made = [
        SdkMcpTool(
            name=each.name,
            description=each.description,
            input_schema=each.parameters,
            handler=_handler(each.name, ask),
        )
        for each in tools
    ]
    return create_sdk_mcp_server(SERVER, tools=made)


def _handler(name: str, ask: Ask) -> Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]:
    async def handle(arguments: dict[str, Any]) -> dict[str, Any]:
        answered = await ask(name, arguments)
        content = [{"type": "text", "text": answered.text}]
        return {"content": content, "is_error": answered.failed}

    return handle
