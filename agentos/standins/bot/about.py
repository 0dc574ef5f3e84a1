"""The methods about the bot itself, its chats and the files in them."""

from typing import Any

from agentos.standins.bot.params import Params
from agentos.standins.bot.refusal import bad
from agentos.standins.bot.world import World

Json = dict[str, Any]

_DOWNLOAD_LIMIT = 20 * 1024 * 1024
_COMMANDS_MAX = 100
_GIFTS = (
    "unlimited_gifts",
    "limited_gifts",
    "unique_gifts",
    "premium_subscription",
    "gifts_from_channels",
)


async def get_me(world: World, params: Params) -> Json:
    """getMe."""
    can = {
        "can_join_groups": True,
        "can_read_all_group_messages": False,
        "supports_inline_queries": False,
        "can_connect_to_business": False,
        "has_main_web_app": False,
    }
    return {**world.bot, **can}


async def get_chat(world: World, params: Params) -> Json:
    """getChat."""
    chat = world.chat(params.integer("chat_id"))
    gifts = dict.fromkeys(_GIFTS, True)
    fixed = {"accent_color_id": 0, "max_reaction_count": 11, "accepted_gift_types": gifts}
    return {**chat.info, **fixed}


async def get_chat_member_count(world: World, params: Params) -> int:
    """getChatMemberCount: the bot counts, too."""
    return world.chat(params.integer("chat_id")).members


async def get_file(world: World, params: Params) -> Json:
    """getFile: bots may download up to 20 MB."""
    file = world.files.get(params.text("file_id"))
    if file is None:
        raise bad("invalid file_id")
    if file.size > _DOWNLOAD_LIMIT:
        raise bad("file is too big")
    told = {"file_id": file.file_id, "file_unique_id": f"u{file.file_id}"}
    return {**told, "file_size": file.size, "file_path": file.path}


async def set_my_commands(world: World, params: Params) -> bool:
    """setMyCommands, one list for each scope and language."""
    commands = params.decoded("commands")
    if not isinstance(commands, list) or len(commands) > _COMMANDS_MAX:
        raise bad("can't parse commands")
    for command in commands:
        name = str(command.get("command", "")).removeprefix("/")
        if not (1 <= len(name) <= 32 and name.replace("_", "a").isalnum() and name == name.lower()):
            raise bad("BOT_COMMAND_INVALID")
    world.profile[_commands_key(params)] = commands
    return True


async def get_my_commands(world: World, params: Params) -> list[Json]:
    """getMyCommands."""
    commands: list[Json] = world.profile.get(_commands_key(params), [])
    return commands


async def delete_my_commands(world: World, params: Params) -> bool:
    """deleteMyCommands."""
    world.profile.pop(_commands_key(params), None)
    return True


async def set_my_description(world: World, params: Params) -> bool:
    """setMyDescription."""
    return _set(world, params, name="description")


async def get_my_description(world: World, params: Params) -> Json:
    """getMyDescription."""
    return {"description": world.profile.get("description", "")}


async def set_my_short_description(world: World, params: Params) -> bool:
    """setMyShortDescription."""
    return _set(world, params, name="short_description")


async def get_my_short_description(world: World, params: Params) -> Json:
    """getMyShortDescription."""
    return {"short_description": world.profile.get("short_description", "")}


async def set_my_name(world: World, params: Params) -> bool:
    """setMyName."""
    return _set(world, params, name="name")


async def get_my_name(world: World, params: Params) -> Json:
    """getMyName."""
    return {"name": world.profile.get("name", world.bot["first_name"])}


async def set_chat_menu_button(world: World, params: Params) -> bool:
    """setChatMenuButton."""
    world.profile["menu_button"] = params.decoded("menu_button")
    return True


def _set(world: World, params: Params, *, name: str) -> bool:
    world.profile[name] = params.text(name)
    return True


def _commands_key(params: Params) -> str:
    scope = params.decoded("scope") or {"type": "default"}
    return f"commands {sorted(scope.items())} {params.text('language_code')}"
