"""python-telegram-bot in front of the Bot API stand-in: what a bot does, and what a person sees."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest
from telegram import (
    Bot,
    BotCommand,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaDocument,
    Message,
    ReactionTypeEmoji,
    ReplyParameters,
)
from telegram.constants import ChatAction, ParseMode
from telegram.error import BadRequest, EndPointNotFound, InvalidToken
from telegram.request import HTTPXRequest

from agentos.standins.process import StandinProcess
from agentos.standins.telegram_user import StandinRefused, TelegramUser

TOKEN = "1000001:for-tests"
OWNER = 7001


@pytest.fixture(scope="module")
def standin() -> Iterator[StandinProcess]:
    process = StandinProcess.start_blocking("bot", args=["--token", TOKEN])
    yield process
    process.stop_blocking()


@pytest.fixture
async def user(standin: StandinProcess) -> AsyncIterator[TelegramUser]:
    async with TelegramUser(standin.url) as user:
        await user.reset()
        yield user


def _bot(standin: StandinProcess, token: str = TOKEN) -> Bot:
    return Bot(
        token,
        base_url=f"{standin.url}/bot",
        base_file_url=f"{standin.url}/file/bot",
        request=HTTPXRequest(httpx_kwargs={"trust_env": False}),
        get_updates_request=HTTPXRequest(httpx_kwargs={"trust_env": False}),
    )


@pytest.fixture
async def bot(standin: StandinProcess, user: TelegramUser) -> AsyncIterator[Bot]:
    async with _bot(standin) as bot:
        yield bot


def _keyboard(*labels: str) -> InlineKeyboardMarkup:
    row = [InlineKeyboardButton(label, callback_data=f"do:{label}") for label in labels]
    return InlineKeyboardMarkup([row])


async def test_get_me_tells_who_the_bot_is(bot: Bot) -> None:
    assert (await bot.get_me()).id == 1000001


async def test_a_wrong_token_is_unauthorized(standin: StandinProcess) -> None:
    with pytest.raises(InvalidToken):
        async with _bot(standin, "1000001:wrong"):
            pass


async def test_a_message_arrives_and_is_answered(bot: Bot, user: TelegramUser) -> None:
    said = await user.say("hello")
    [update] = await bot.get_updates()
    assert isinstance(update.message, Message)
    assert (update.message.text, update.message.chat_id) == ("hello", OWNER)
    assert update.update_id == said.update_id
    answer = await bot.send_message(
        OWNER, "Hi there", reply_parameters=ReplyParameters(said.message_id)
    )
    assert answer.reply_to_message is not None
    seen = await user.wait_for("Hi")
    assert (seen.text, seen.by, seen.reply_to) == ("Hi there", "bot", said.message_id)


async def test_html_becomes_text_with_entities(bot: Bot, user: TelegramUser) -> None:
    html = (
        'A <b>bold &amp; <i>both</i></b> 😀 <a href="http://x.org/">link</a>\n'
        '<pre><code class="language-python">x &lt; 1</code></pre>'
    )
    sent = await bot.send_message(OWNER, html, parse_mode=ParseMode.HTML)
    assert sent.text == "A bold & both 😀 link\nx < 1"
    parts = {entity.type: sent.parse_entity(entity) for entity in sent.entities}
    assert parts == {"bold": "bold & both", "italic": "both", "text_link": "link", "pre": "x < 1"}
    assert sent.entities[-1].language == "python"


async def test_markdown_becomes_text_with_entities(bot: Bot, user: TelegramUser) -> None:
    markdown = "*bold _both_* `a_b` [link](http://x.org/) 1\\.5 ||hidden||\n>quoted\n```sh\nls\n```"
    sent = await bot.send_message(OWNER, markdown, parse_mode=ParseMode.MARKDOWN_V2)
    parts = {entity.type: sent.parse_entity(entity) for entity in sent.entities}
    assert parts["bold"] == "bold both"
    assert parts["italic"] == "both"
    assert parts["code"] == "a_b"
    assert parts["text_link"] == "link"
    assert parts["spoiler"] == "hidden"
    assert parts["blockquote"].strip() == "quoted"
    assert parts["pre"].strip() == "ls"


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        ("a <x>b</x>", "HTML", "Unsupported start tag"),
        ("a <b>b", "HTML", "Can't find end tag"),
        ("a <b>b</i>", "HTML", "Unmatched end tag"),
        ("a < b", "HTML", "Unsupported start tag"),
        ("1.5", "MarkdownV2", "Character '.' is reserved"),
        ("*a", "MarkdownV2", "Can't find end of Bold entity"),
        ("`a", "MarkdownV2", "Can't find end"),
        ("x" * 4097, "HTML", "Message is too long"),
        ("😀" * 2049, "HTML", "Message is too long"),
        ("   ", "HTML", "Message text is empty"),
    ],
)
async def test_text_that_telegram_refuses_is_refused(
    bot: Bot, text: str, mode: str, why: str
) -> None:
    # The library puts what Telegram says into lower case.
    with pytest.raises(BadRequest, match=f"(?i){why}"):
        await bot.send_message(OWNER, text, parse_mode=mode)


async def test_the_longest_text_is_taken(bot: Bot) -> None:
    sent = await bot.send_message(OWNER, "<b>" + "😀" * 2048 + "</b>", parse_mode=ParseMode.HTML)
    assert sent.text == "😀" * 2048


async def test_a_stranger_who_never_wrote_cannot_be_written_to(bot: Bot) -> None:
    with pytest.raises(BadRequest, match="Chat not found"):
        await bot.send_message(99, "hello")


async def test_an_edit_changes_what_is_seen(bot: Bot, user: TelegramUser) -> None:
    sent = await bot.send_message(OWNER, "one", reply_markup=_keyboard("Go"))
    edited = await bot.edit_message_text("two", chat_id=OWNER, message_id=sent.message_id)
    assert isinstance(edited, Message)
    assert edited.edit_date is not None
    seen = await user.wait_for("two")
    assert (seen.edits, seen.labels) == (1, [])


async def test_edits_that_change_nothing_or_miss_are_refused(bot: Bot) -> None:
    sent = await bot.send_message(OWNER, "same", reply_markup=_keyboard("Go"))
    with pytest.raises(BadRequest, match="Message is not modified"):
        await sent.edit_text(" same ", reply_markup=_keyboard("Go"))
    with pytest.raises(BadRequest, match="Message is not modified"):
        await sent.edit_reply_markup(_keyboard("Go"))
    with pytest.raises(BadRequest, match="Message to edit not found"):
        await bot.edit_message_text("x", chat_id=OWNER, message_id=4711)


async def test_a_persons_message_cannot_be_edited_by_the_bot(bot: Bot, user: TelegramUser) -> None:
    said = await user.say("mine")
    with pytest.raises(BadRequest, match="Message can't be edited"):
        await bot.edit_message_text("x", chat_id=OWNER, message_id=said.message_id)


async def test_buttons_go_away_without_the_text(bot: Bot, user: TelegramUser) -> None:
    sent = await bot.send_message(OWNER, "choose", reply_markup=_keyboard("Go", "Drop"))
    assert (await user.wait_for_button("Drop")).keyboard == [["Go", "Drop"]]
    await sent.edit_reply_markup(None)
    assert (await user.wait_for("choose")).labels == []


async def test_a_tap_arrives_and_is_answered(bot: Bot, user: TelegramUser) -> None:
    await bot.send_message(OWNER, "choose", reply_markup=_keyboard("✅ Go", "Drop"))
    tapped = await user.tap("go")
    [update] = await bot.get_updates()
    query = update.callback_query
    assert query is not None
    assert (query.data, query.from_user.id) == ("do:✅ Go", OWNER)
    await query.answer("Started")
    assert tapped.tap_id is not None
    assert (await user.chat()).answers[tapped.tap_id].text == "Started"


async def test_a_tap_on_a_button_that_is_gone_still_arrives(bot: Bot, user: TelegramUser) -> None:
    sent = await bot.send_message(OWNER, "choose", reply_markup=_keyboard("Go"))
    await sent.edit_reply_markup(None)
    with pytest.raises(StandinRefused, match="no button"):
        await user.tap("Go")
    await user.tap(data="do:Go", message_id=sent.message_id)
    [update] = await bot.get_updates()
    assert update.callback_query is not None
    assert update.callback_query.data == "do:Go"


async def test_an_unknown_tap_is_too_old_to_answer(bot: Bot) -> None:
    with pytest.raises(BadRequest, match="Query is too old"):
        await bot.answer_callback_query("12345")


async def test_button_data_has_at_most_64_bytes(bot: Bot) -> None:
    button = InlineKeyboardButton("Go", callback_data="é" * 33)
    with pytest.raises(BadRequest, match="Button_data_invalid"):
        await bot.send_message(OWNER, "x", reply_markup=InlineKeyboardMarkup([[button]]))


async def test_a_draft_is_seen_until_the_message_comes(bot: Bot, user: TelegramUser) -> None:
    for text in ("", "Thin", "Thinking about"):
        await bot.send_message_draft(OWNER, 5, text)
    view = await user.chat()
    assert [(draft.draft_id, draft.text) for draft in view.drafts] == [(5, "Thinking about")]
    await bot.send_message(OWNER, "Thought.")
    assert (await user.chat()).drafts == []
    assert (await user.chat()).draft_changes == 3


async def test_a_reaction_is_seen_and_a_wrong_one_refused(bot: Bot, user: TelegramUser) -> None:
    said = await user.say("hello")
    assert await bot.set_message_reaction(OWNER, said.message_id, ReactionTypeEmoji("👀"))
    assert (await user.chat()).messages[0].reactions == ["👀"]
    for emoji in ("❤️", "🤷‍♂️"):
        reaction = ReactionTypeEmoji(emoji)
        assert await bot.set_message_reaction(OWNER, said.message_id, reaction)
    assert await bot.set_message_reaction(OWNER, said.message_id, [])
    assert (await user.chat()).messages[0].reactions == []
    with pytest.raises(BadRequest, match="Reaction_invalid"):
        await bot.set_message_reaction(OWNER, said.message_id, ReactionTypeEmoji("✅"))
    with pytest.raises(BadRequest, match="Message to react not found"):
        await bot.set_message_reaction(OWNER, 4711, "👍")


async def test_silent_messages_threads_and_actions_are_seen(bot: Bot, user: TelegramUser) -> None:
    await bot.send_chat_action(OWNER, ChatAction.TYPING)
    assert (await user.chat()).action == "typing"
    await bot.send_message(OWNER, "psst", disable_notification=True, message_thread_id=3)
    seen = await user.wait_for("psst")
    assert (seen.silent, seen.thread_id) == (True, 3)
    assert (await user.chat()).action is None


async def test_a_message_can_be_deleted_once(bot: Bot, user: TelegramUser) -> None:
    sent = await bot.send_message(OWNER, "gone soon")
    assert await sent.delete()
    assert (await user.chat()).messages == []
    with pytest.raises(BadRequest, match="Message to delete not found"):
        await sent.delete()


async def test_a_document_can_be_opened(bot: Bot, user: TelegramUser) -> None:
    await bot.send_document(
        OWNER, b"# Report\n", filename="report.md", caption="<b>Done</b>", parse_mode="HTML"
    )
    seen = await user.wait_for_document(r"\.md$")
    assert seen.document is not None
    assert (seen.document.name, seen.document.size, seen.text) == ("report.md", 9, "Done")
    assert await user.open(seen.document) == b"# Report\n"


async def test_a_document_can_be_sent_again_by_its_id(bot: Bot, user: TelegramUser) -> None:
    first = await bot.send_document(OWNER, b"x", filename="a.txt")
    assert first.document is not None
    again = await bot.send_document(OWNER, first.document.file_id)
    assert again.document == first.document
    with pytest.raises(BadRequest, match="Wrong remote file identifier"):
        await bot.send_document(OWNER, "nothing")


async def test_photos_and_albums_are_seen(bot: Bot, user: TelegramUser) -> None:
    photo = await bot.send_photo(OWNER, b"png", filename="chart.png")
    assert photo.photo
    media = [
        InputMediaDocument(b"one", filename="1.txt", caption="both"),
        InputMediaDocument(b"two", filename="2.txt"),
    ]
    album = await bot.send_media_group(OWNER, media)
    assert len({message.media_group_id for message in album}) == 1
    names = [one.document.name for one in (await user.chat()).messages if one.document]
    assert names == ["chart.png", "1.txt", "2.txt"]


async def test_captions_and_albums_have_their_limits(bot: Bot) -> None:
    with pytest.raises(BadRequest, match="Message caption is too long"):
        await bot.send_document(OWNER, b"x", caption="x" * 1025)
    with pytest.raises(BadRequest, match="2-10 items"):
        await bot.send_media_group(OWNER, [InputMediaDocument(b"x")])


async def test_a_file_of_a_person_can_be_downloaded(bot: Bot, user: TelegramUser) -> None:
    await user.send_file("notes.txt", content=b"some notes", caption="read this")
    [update] = await bot.get_updates()
    assert update.message is not None
    assert update.message.document is not None
    assert update.message.caption == "read this"
    file = await update.message.document.get_file()
    assert await file.download_as_bytearray() == b"some notes"


async def test_a_voice_message_and_a_photo_arrive(bot: Bot, user: TelegramUser) -> None:
    await user.send_file("v.ogg", content=b"ogg", kind="voice")
    await user.send_file("p.jpg", content=b"jpg", kind="photo")
    voice, photo = await bot.get_updates()
    assert voice.message is not None
    assert voice.message.voice is not None
    assert photo.message is not None
    assert photo.message.photo[-1].file_size == 3


async def test_a_file_over_20_mb_cannot_be_downloaded(bot: Bot, user: TelegramUser) -> None:
    await user.send_file("big.zip", size=21 * 1024 * 1024)
    await user.send_file("fits.zip", size=100_000)
    big, fits = [update.message for update in await bot.get_updates()]
    assert big is not None
    assert big.document is not None
    with pytest.raises(BadRequest, match="File is too big"):
        await big.document.get_file()
    assert fits is not None
    assert fits.document is not None
    file = await fits.document.get_file()
    assert len(await file.download_as_bytearray()) == 100_000


async def test_commands_and_texts_about_the_bot_are_kept(bot: Bot) -> None:
    await bot.set_my_commands([BotCommand("status", "What runs")])
    assert [command.command for command in await bot.get_my_commands()] == ["status"]
    await bot.set_my_description("Does things")
    assert (await bot.get_my_description()).description == "Does things"
    with pytest.raises(BadRequest, match="Bot_command_invalid"):
        await bot.set_my_commands([BotCommand("Two Words", "no")])


async def test_a_chat_tells_who_it_is(bot: Bot, standin: StandinProcess) -> None:
    async with TelegramUser(standin.url, user_id=42, username="ann", name="Ann") as ann:
        await ann.say("hi")
    chat = await bot.get_chat(42)
    assert (chat.first_name, chat.username, chat.type) == ("Ann", "ann", "private")


async def test_an_unknown_method_is_not_found(bot: Bot) -> None:
    with pytest.raises(EndPointNotFound):
        await bot.do_api_request("brewCoffee")


async def test_an_edited_a_forwarded_and_a_replying_message_arrive(
    bot: Bot, user: TelegramUser
) -> None:
    said = await user.say("/start now")
    await user.edit(said.message_id, text="/start later")
    await user.say("news", forward="Bob", reply_to=said.message_id)
    first, edited, forwarded = await bot.get_updates()
    assert first.message is not None
    assert first.message.parse_entity(first.message.entities[0]) == "/start"
    assert edited.edited_message is not None
    assert edited.edited_message.text == "/start later"
    assert forwarded.message is not None
    assert forwarded.message.forward_origin is not None
    assert forwarded.message.reply_to_message is not None


async def test_waiting_for_an_answer_gives_up_in_time(bot: Bot, user: TelegramUser) -> None:
    await bot.send_message(OWNER, "something else")
    with pytest.raises(TimeoutError, match="something else"):
        await user.wait_for("never", timeout=timedelta(milliseconds=80))


async def test_an_answer_before_a_message_can_be_left_out(bot: Bot, user: TelegramUser) -> None:
    old = await bot.send_message(OWNER, "answer")
    with pytest.raises(TimeoutError):
        await user.wait_for("answer", after=old.message_id, timeout=timedelta(milliseconds=50))
