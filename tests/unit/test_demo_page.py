"""The chat as a page: what is drawn, and that nothing said can become markup of ours."""

from html.parser import HTMLParser
from pathlib import Path
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from agentos.demo.moments import Moments
from agentos.demo.page import draw, styled
from agentos.standins.telegram_user import ChatView

BERLIN = ZoneInfo("Europe/Berlin")


class Words(HTMLParser):
    """The text of a page, and whether each tag that was opened was closed in its turn."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text = ""
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def view(*messages: dict[str, object]) -> ChatView:
    told = [
        {"at": 1_790_000_000, "by": "bot", "message_id": 1, "text": "", **one} for one in messages
    ]
    return ChatView.model_validate({"messages": told, "version": 1})


def test_a_page_shows_words_buttons_reactions_and_the_owners_time() -> None:
    said = {"by": "user", "text": "Plan it", "reactions": ["👀"]}
    plan = {"text": "Plan: a stall", "keyboard": [["Go", "Drop"]], "message_id": 2, "edits": 1}
    page = draw(view(said, plan), title="A plan", zone=BERLIN)
    text = Words(page.partition("<body>")[2].partition("</body>")[0]).text
    for words in ("A plan", "Plan it", "👀", "Plan: a stall", "Go", "Drop", "edited 16:13"):
        assert words in text


def test_what_was_said_stays_text() -> None:
    page = draw(view({"text": "<script>alert(1)</script>"}), title="<b>", zone=BERLIN)
    assert "<script>" not in page
    assert "<title><b>" not in page


def test_a_picture_is_in_the_page_and_a_document_is_named() -> None:
    file = {"size": 2100, "file_id": "f"}
    picture = {"document": {**file, "kind": "photo", "name": "sign.png"}}
    table = {"document": {**file, "kind": "document", "name": "prices.csv"}, "message_id": 2}
    page = draw(view(picture, table), title="", zone=BERLIN, files={"sign.png": b"\x89PNG"})
    assert 'src="data:image/png;base64,iVBORw=="' in page
    assert "prices.csv" in page
    assert "2.1 kB" in page


def test_styles_that_overlap_are_closed_in_turn() -> None:
    bold = {"type": "bold", "offset": 0, "length": 6}
    italic = {"type": "italic", "offset": 3, "length": 6}
    made = styled("😀bcdefgh", [italic, bold])
    assert made == "<b>😀b</b><b><i>cde</i></b><i>fgh</i>"


@given(
    st.text(max_size=20),
    st.lists(
        st.tuples(st.sampled_from(["bold", "pre", "url"]), st.integers(0, 12), st.integers(1, 9))
    ),
)
def test_any_entities_leave_the_text_whole(text: str, found: list[tuple[str, int, int]]) -> None:
    units = len(text.encode("utf-16-le", "surrogatepass")) // 2
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    ascii_only = text.isascii()
    entities = [
        {"type": kind, "offset": offset, "length": length}
        for kind, offset, length in found
        if offset + length <= units
    ]
    words = Words(str(styled(text, entities)))
    assert words.open == []
    if ascii_only and "\r" not in text:
        assert words.text == text


def test_a_moment_begins_where_its_part_of_the_story_does(tmp_path: Path) -> None:
    moments = Moments()
    seen = view({"text": "before"}, {"text": "now", "message_id": 2})
    moments.keep("plan", title="A plan", view=seen, since=2)
    (path,) = moments.write(tmp_path / "pages", files={}, zone=BERLIN)
    page = path.read_text()
    assert path.name == "plan.html"
    assert "now" in page
    assert "before" not in page
