from pathlib import Path

import pytest

from agentos.config import Config, load
from agentos.errors import Misconfigured


def loaded(folder: Path, *, toml: str = "", secrets: str = "") -> Config:
    (folder / "config.toml").write_text(toml)
    (folder / ".env").write_text(secrets)
    return load(config_file=folder / "config.toml", secrets_file=folder / ".env")


def test_backends_are_configured_in_the_file(tmp_path: Path) -> None:
    toml = '[backends]\nuse = ["claude", "codex", "codex"]\nfallback = {codex = "claude"}\n'
    config = loaded(tmp_path, toml=toml + '[codex]\nmodel = "their-model"\n')
    assert config.backends.use == ["codex"]  # claude is always there
    assert config.backends.fallback == {"codex": "claude"}
    assert config.work_model("codex") == "their-model"
    assert config.work_model("gemini") == ""
    assert config.work_model("claude") == "sonnet"


@pytest.mark.parametrize("told", ["codex, gemini", '["codex", "gemini"]'])
def test_a_list_may_be_written_into_the_secrets_file(tmp_path: Path, told: str) -> None:
    config = loaded(tmp_path, secrets=f"AGENTOS_BACKENDS__USE='{told}'\n")
    assert config.backends.use == ["codex", "gemini"]


@pytest.mark.parametrize("told", ["codex,gemini", '["codex", "gemini"]'])
def test_a_list_may_be_written_into_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    monkeypatch.setenv("AGENTOS_BACKENDS__USE", told)
    assert loaded(tmp_path).backends.use == ["codex", "gemini"]


@pytest.mark.parametrize(
    "toml",
    [
        '[backends]\nuse = ["gpt"]\n',
        '[backends]\nfallback = {gpt = "claude"}\n',
        '[backends]\nfallback = {codex = "gpt"}\n',
    ],
)
def test_an_unknown_backend_is_refused_by_name(tmp_path: Path, toml: str) -> None:
    with pytest.raises(Misconfigured, match="there is no backend 'gpt'; there is claude, codex"):
        loaded(tmp_path, toml=toml)


@pytest.mark.parametrize("told", ["[codex", "codex"])
def test_a_broken_map_is_refused_in_one_line(tmp_path: Path, told: str) -> None:
    with pytest.raises(Misconfigured, match=r"backends.fallback is wrong"):
        loaded(tmp_path, secrets=f"AGENTOS_BACKENDS__FALLBACK='{told}'\n")
