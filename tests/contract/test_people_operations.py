"""`pm people` on the rows, on SQLite and on Postgres."""

import pytest

from agentos.config import Config
from agentos.domain.people import Role
from agentos.errors import BadRequest
from agentos.home import Home
from agentos.store import knocks, outbox, people
from agentos.store.database import Database
from tests.row_room import NOW, Rows


@pytest.fixture
def there(any_database: Database, home: Home) -> Rows:
    return Rows(any_database, home)


def test_somebody_is_let_in_told_of_it_and_put_out_again(
    there: Rows, any_database: Database
) -> None:
    with any_database.begin() as connection:
        ada = people.pair(connection, channel="telegram", external_id="1", name="Ada", at=NOW)
        bea = people.meet(connection, channel="telegram", external_id="2", name="Bea", at=NOW)
        knocks.tell(connection, bea, to="telegram:1", at=NOW)
    listed = there.ask("people.list")["people"]
    assert [(one["name"], one["role"]) for one in listed] == [
        ("Bea", "stranger"),
        ("Ada", "owner"),
    ]
    for _ in range(2):
        made = there.ask("people.approve", person=bea.id, role="guest")["person"]
        assert made["role"] == "guest"
    with any_database.read() as connection:
        card = outbox.find_by_key(connection, f"knock:{bea.id}")
        assert card is not None
        closed = knocks.cards.get(connection, card.card_id or 0)
        assert closed.state is knocks.cards.CardState.cancelled
        shown = outbox.find_by_key(connection, f"knock:{bea.id}:decided")
        assert shown is not None
        assert shown.text.endswith("`Bea`: guest")
    assert there.ask("people.list", role="guest")["people"][0]["id"] == bea.id
    assert there.ask("people.remove", person=bea.id)["person"]["role"] == "ignored"
    assert there.ask("people.remove", person=ada.id)["person"]["role"] == "stranger"
    with any_database.read() as connection:
        assert people.find_owner(connection, "telegram") is None


def test_two_may_be_owners(there: Rows, any_database: Database) -> None:
    with any_database.begin() as connection:
        people.pair(connection, channel="telegram", external_id="1", name="Ada", at=NOW)
        bea = people.meet(connection, channel="telegram", external_id="2", name="Bea", at=NOW)
    there.ask("people.approve", person=bea.id, role="owner")
    owners = there.ask("people.list", role="owner")["people"]
    assert [one["name"] for one in owners] == ["Bea", "Ada"]


def test_whom_the_settings_name_stays_the_owner(there: Rows, any_database: Database) -> None:
    with any_database.begin() as connection:
        ada = people.pair(connection, channel="telegram", external_id="1", name="Ada", at=NOW)
    there.config = Config.model_validate({"telegram": {"owner_id": 1}})
    with pytest.raises(BadRequest, match=r"by telegram\.owner_id; change that setting"):
        there.ask("people.remove", person=ada.id)
    with pytest.raises(BadRequest, match="there is no person 99; `pm people list`"):
        there.ask("people.approve", person=99)
    with any_database.read() as connection:
        assert people.get(connection, ada.id or 0).role is Role.owner
