from hypothesis import given
from hypothesis import strategies as st

from agentos.engine.routes import Routes

BACKENDS = ("claude", "codex", "gemini", "opencode")
some = st.sets(st.sampled_from(BACKENDS))
ways = st.dictionaries(st.sampled_from(BACKENDS), st.sampled_from(BACKENDS))


def test_a_job_that_names_no_model_gets_that_of_its_backend() -> None:
    routes = Routes(models={"claude": "sonnet"})
    assert routes.model("claude") == "sonnet"
    assert routes.model("codex") == "", "its own choice"


def test_without_the_owners_word_there_is_no_way_round() -> None:
    assert Routes(models={}, missing=lambda: {"claude": "not there"}).detours({"codex"}) == {}


def test_a_backend_that_rests_or_is_missing_is_gone_round() -> None:
    ways = {"claude": "codex", "gemini": "codex", "codex": "claude"}
    routes = Routes(models={}, missing=lambda: {"gemini": "not there"}, fallback=ways)
    assert routes.detours({"claude"}) == {"claude": "codex", "gemini": "codex"}


def test_a_way_may_lead_over_one_that_cannot_either() -> None:
    routes = Routes(models={}, fallback={"claude": "codex", "codex": "gemini"})
    assert routes.detours({"claude", "codex"}) == {"claude": "gemini", "codex": "gemini"}


def test_what_is_missing_is_asked_anew_each_time() -> None:
    missing = {"claude": "not there"}
    routes = Routes(models={}, missing=lambda: missing, fallback={"claude": "codex"})
    assert routes.detours(()) == {"claude": "codex"}
    missing.clear()
    assert routes.detours(()) == {}


@given(some, some, ways)
def test_a_way_leads_from_one_that_cannot_to_one_that_can(
    resting: set[str], missing: set[str], fallback: dict[str, str]
) -> None:
    routes = Routes(
        models={}, missing=lambda: dict.fromkeys(missing, "not there"), fallback=fallback
    )
    for backend, other in routes.detours(resting).items():
        assert backend in resting | missing
        assert other not in resting | missing
