"""Skills are read from home first, and a broken one says what is wrong in one line."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentos import skills
from agentos.errors import AgentosError, BadRequest, Misconfigured
from agentos.home import Home

SHIPPED = ["code-change", "data-analysis", "planning", "research", "summarise", "writing"]
GOOD = "---\nname: tea\ndescription: How to make tea.\n---\nBoil water first.\n"


def write(home: Home, name: str, content: str | bytes) -> Path:
    path = home.root / "skills" / name / "SKILL.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def problem(home: Home, content: str | bytes, name: str = "tea") -> str:
    write(home, name, content)
    with pytest.raises(Misconfigured) as caught:
        skills.load(home, name)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_every_shipped_skill_can_be_loaded(home: Home) -> None:
    assert [skill.name for skill in skills.list_all(home)] == SHIPPED
    assert skills.list_broken(home) == []


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_skill_says_when_to_use_it_and_stays_short(home: Home, name: str) -> None:
    skill = skills.load(home, name)
    assert len(skill.description) >= 60
    assert skill.trigger
    assert 25 <= len(skill.text.splitlines()) <= 150
    assert len(skill.text) <= 8_000
    assert "TODO" not in skill.text


def test_a_skill_has_its_fields_its_body_and_its_place(home: Home) -> None:
    path = write(
        home,
        "tea",
        "---\nname: tea\ndescription: >\n  How to\n  make tea.\n"
        "trigger: [tea, a cuppa]\nrequires: kettle\nlicense: MIT\n---\n\n# Tea\n\n---\n\nBoil.\n",
    )
    skill = skills.load(home, "tea")
    assert skill.description == "How to make tea."
    assert skill.trigger == ("tea", "a cuppa")
    assert skill.requires == ("kettle",)
    assert skill.text == "# Tea\n\n---\n\nBoil."
    assert skill.path == path


def test_trigger_and_requires_may_be_left_out(home: Home) -> None:
    write(home, "tea", GOOD)
    skill = skills.load(home, "tea")
    assert (skill.trigger, skill.requires) == ((), ())


def test_the_owners_skill_wins_over_the_shipped_one(home: Home) -> None:
    shipped = skills.load(home, "writing")
    write(home, "writing", GOOD.replace("tea", "writing"))
    own = skills.load(home, "writing")
    assert own.text == "Boil water first."
    assert own.version != shipped.version
    assert [skill.name for skill in skills.list_all(home)] == SHIPPED


def test_a_broken_skill_of_the_owners_does_not_fall_back_to_the_shipped_one(home: Home) -> None:
    write(home, "writing", "nothing")
    with pytest.raises(Misconfigured):
        skills.load(home, "writing")
    assert [skill.name for skill in skills.list_broken(home)] == ["writing"]


def test_the_version_is_the_hash_of_the_file(home: Home) -> None:
    write(home, "tea", GOOD)
    assert skills.load(home, "tea").version == hashlib.sha256(GOOD.encode()).hexdigest()[:12]
    write(home, "tea", GOOD + " ")
    assert skills.load(home, "tea").version != hashlib.sha256(GOOD.encode()).hexdigest()[:12]


def test_windows_line_ends_and_a_byte_order_mark_are_fine(home: Home) -> None:
    write(home, "tea", b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert skills.load(home, "tea").text == "Boil water first."


def test_one_broken_skill_does_not_hide_the_others(home: Home) -> None:
    write(home, "tea", GOOD)
    write(home, "coffee", "---\nname: [\n---\nText")
    write(home, "Cocoa Mix", GOOD)
    (home.root / "skills" / "notes.txt").write_text("not a skill")
    (home.root / "skills" / "empty").mkdir()
    assert [skill.name for skill in skills.list_all(home)] == sorted([*SHIPPED, "tea"])
    assert [skill.name for skill in skills.list_broken(home)] == ["Cocoa Mix", "coffee"]


def test_an_unknown_name_is_answered_with_the_known_ones(home: Home) -> None:
    with pytest.raises(BadRequest, match=r"no skill 'tee'.*code-change.*writing"):
        skills.load(home, "tee")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../tea", "a/b", "/etc", "Tea", "tea ", "-tea", "tea-", "t" * 65, "t\n"]
)
def test_a_name_never_leads_out_of_the_folder(home: Home, name: str) -> None:
    with pytest.raises(BadRequest, match="no name of a skill"):
        skills.load(home, name)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "does not begin with front matter"),
        ("Boil water.", "does not begin with front matter"),
        ("---\nname: tea\n", "does not begin with front matter"),
        ("---\n---\nText", "no fields"),
        ("---\n- tea\n---\nText", "no fields"),
        ("---\nname: tea\ndescription: a: b\n---\nText", "not valid YAML in line 3"),
        ("---\nname: tea\n\tdescription: x\n---\nText", "not valid YAML in line 3"),
        ("---\nname: 2026-99-99\n---\nText", "not valid YAML"),
        ("---\nname: " + "[" * 9000 + "\n---\nText", "not valid YAML"),
        ("---\nname: !!python/object:os.system {}\n---\nText", "not valid YAML"),
        ("---\nname: te\x07a\n---\nText", "not valid YAML"),
        ("---\nname: coffee\ndescription: x\n---\nText", "name is 'coffee'. Make it 'tea'"),
        ("---\ndescription: x\n---\nText", "name is None. Make it 'tea'"),
        ("---\nname: tea\n---\nText", "no description"),
        ("---\nname: tea\ndescription: 7\n---\nText", "no description"),
        ("---\nname: tea\ndescription: ' '\n---\nText", "no description"),
        (f"---\nname: tea\ndescription: {'x' * 1025}\n---\nText", "longer than 1024"),
        ("---\nname: tea\ndescription: x\ncolour: red\n---\nText", "no field 'colour'"),
        ("---\nname: tea\ndescription: x\n7: red\n---\nText", "no field '7'"),
        ("---\nname: tea\ndescription: x\ntrigger: {a: b}\n---\nText", "trigger is not a list"),
        ("---\nname: tea\ndescription: x\nrequires: [1]\n---\nText", "requires is not a list"),
        ("---\nname: tea\ndescription: x\n---\n \n", "nothing below the front matter"),
        ("---\nname: tea\ndescription: x\n---", "nothing below the front matter"),
        (GOOD.encode("utf-16"), "not UTF-8"),
        (GOOD.encode() + b"\xff", "not UTF-8"),
        (GOOD + "x" * 64 * 1024, "larger than 64 KB"),
        ("x" * 5_000_000, "larger than 64 KB"),
    ],
)
def test_a_broken_file_is_told_in_one_line(home: Home, content: str | bytes, said: str) -> None:
    assert said in problem(home, content)


def test_a_file_of_exactly_the_limit_is_fine(home: Home) -> None:
    write(home, "tea", GOOD.ljust(skills.SIZE_LIMIT, "x"))
    assert skills.load(home, "tea").name == "tea"


def test_a_folder_in_the_place_of_the_file_is_told(home: Home) -> None:
    (home.root / "skills" / "tea" / "SKILL.md").mkdir(parents=True)
    assert [skill.name for skill in skills.list_broken(home)] == ["tea"]


@given(content=st.binary(max_size=400), front=st.text(max_size=200))
def test_any_bytes_give_a_skill_or_one_clear_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, front: str
) -> None:
    home = Home(tmp_path_factory.getbasetemp() / "any-bytes")
    for attempt in (content, f"---\nname: tea\ndescription: x\n{front}\n---\nText".encode()):
        write(home, "tea", attempt)
        try:
            assert skills.load(home, "tea").name == "tea"
        except AgentosError as error:
            assert "\n" not in str(error)
