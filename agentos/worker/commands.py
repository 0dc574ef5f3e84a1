"""What a shell command reaches beyond its folders, as far as its words tell. Pure.

The tables name programs; a program that is not named may do as it likes, for the shell is no
sandbox and a script is a program, too (docs/security.md).
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from agentos.domain.rules import May
from agentos.worker.fetching import sends
from agentos.worker.shell import Command, Unreadable, Word, commands_of


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Programs that run the words after them.
_WRAPPERS = _names(
    """
    env nohup time timeout nice ionice stdbuf setsid exec command builtin xargs watch unbuffer
    flock parallel busybox caffeinate chronic script strace ltrace coproc
    """
)
_TOP = _names(
    """
    sudo su doas pkexec chroot runuser unshare nsenter
    """
)
_SHELLS = _names(
    """
    sh bash dash zsh ksh ash fish
    """
)
_INTERPRETERS = re.compile(r"(python|pypy|node|perl|ruby|php|deno|bun|Rscript)[\d.]*")
_FETCH = _names(
    """
    curl wget aria2c lynx w3m links elinks http https xh yt-dlp youtube-dl axel fetch
    """
)
_SEND = _names(
    """
    ssh scp sftp ftp lftp ncftp telnet nc ncat netcat socat mosh mail mailx mutt neomutt
    sendmail msmtp swaks s-nail exim twine kubectl helm terraform tofu ansible ansible-
    playbook aws gcloud gsutil az doctl flyctl fly vercel netlify heroku firebase wrangler
    surge s3cmd rclone mc ngrok cloudflared telegram-send osascript
    """
)
_SYSTEM = _names(
    """
    apt apt-get aptitude dnf yum pacman apk zypper snap dpkg rpm systemctl service crontab at
    batch launchctl mount umount fdisk parted wipefs shutdown reboot halt poweroff init
    useradd userdel usermod groupadd passwd chpasswd chsh visudo iptables nft ufw sysctl
    modprobe insmod pkill killall loginctl hostnamectl setcap mkswap swapon docker podman
    nerdctl agentos
    """
)
_INSTALLERS = _names(
    """
    pip pip3 pipx uv poetry pdm conda mamba gem cargo go composer npm pnpm yarn bun bundle
    brew npx bunx uvx
    """
)
_INSTALL_WORDS = frozenset(
    [
        "install",
        "i",
        "add",
        "ci",
        "get",
        "update",
        "upgrade",
        "sync",
        "tool",
        "require",
        "create",
        "exec",
        "dlx",
        "x",
        "download",
        "fetch",
    ]
)
_PUBLISH_WORDS = frozenset(
    [
        "publish",
        "unpublish",
        "deprecate",
        "login",
        "logout",
        "adduser",
        "token",
        "owner",
        "access",
        "push",
        "yank",
        "release",
        "upload",
        "dist-tag",
        "star",
    ]
)
_READING_HUB = frozenset(
    ["view", "list", "diff", "status", "checks", "checkout", "clone", "download", "search"]
)
_READING_BOX = frozenset(
    ["ps", "images", "logs", "inspect", "version", "info", "stats", "top", "port"]
)
_WRITERS = _names(
    """
    rm rmdir mv cp ln install mkdir touch tee truncate chmod chown chgrp shred unlink dd sed
    rsync tar unzip
    """
)
# Of these only the last word, or what an option names, is written.
_LAST_IS_TARGET = frozenset({"cp", "ln", "install", "rsync"})

Reach = tuple[May, str]
_MOST_NESTED = 8


def read(text: str, *, depth: int = 0) -> list[Command]:
    """Every command of a line, those too that it hands to a shell as text. Raises Unreadable."""
    if depth > _MOST_NESTED:
        raise Unreadable("it is nested too deep")
    found = commands_of(text)
    for command in list(found):
        for words in _runs(command.words):
            for code in _code_in(words, command):
                found += read(code, depth=depth + 1)
    return found


def reaches(found: Sequence[Command]) -> list[Reach]:
    """What commands reach, each with the piece of them that does."""
    return [reach for place, one in enumerate(found) for reach in _of(one, found[:place])]


def written(command: Command) -> Iterator[Word]:
    """What a command writes, moves or removes, by its words."""
    yield from command.writes
    for words in _runs(command.words):
        name = _name(words)
        if name == "find" and any(word.text in ("-delete", "-fprint") for word in words):
            yield from words[1:2]
        if name not in _WRITERS:
            continue
        rest = [word for word in words[1:] if not word.text.startswith("-")]
        if name == "dd":
            yield from (Word(one.text[3:], one.sure) for one in rest if one.text[:3] == "of=")
        elif name == "sed":
            if any(re.match(r"-[a-zA-Z]*i|--in-place", word.text) for word in words[1:]):
                yield from rest[1:]
        elif name == "tar":
            yield from _after(words, "-C", "--directory")
        elif name == "unzip":
            yield from _after(words, "-d")
        elif name in _LAST_IS_TARGET:
            yield from [*_after(words, "-t", "--target-directory"), *rest[-1:]]
        elif name in ("chmod", "chown", "chgrp"):
            yield from rest[1:]
        else:
            yield from rest


def is_rough(command: Command) -> bool:
    """Whether it removes or changes a whole tree: then it has to be plain what."""
    rough = {"rm", "chmod", "chown", "shred", "dd"}
    return any(
        _name(words) in rough and any(re.match(r"-\w*[rR]|--recursive|of=", w.text) for w in words)
        for words in _runs(command.words)
    )


def _of(command: Command, before: Sequence[Command]) -> Iterator[Reach]:
    for number, words in enumerate(_runs(command.words)):
        shown = " ".join(word.text for word in words)[:200]
        if not words[0].sure or (words[0].spread and words[0].text not in ("[", "[[")):
            if number == 0:
                yield May.unseen, shown or "$…"
            continue
        for may in _of_program(words, command, before):
            yield may, shown


def _runs(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    """A command, and what it runs in turn: of a wrapper, everything that may be a command."""
    if not words:
        return
    yield words
    name = _name(words)
    if name in _WRAPPERS or name in _TOP:
        yield from (words[place:] for place in range(1, len(words)))
    elif name == "find":
        for place, word in enumerate(words):
            if word.text in ("-exec", "-execdir", "-ok", "-okdir"):
                yield from _runs(words[place + 1 :])


def _of_program(
    words: Sequence[Word], command: Command, before: Sequence[Command]
) -> Iterator[May]:
    name, rest = _name(words), [word.text for word in words[1:]]
    plain = [word for word in rest if not word.startswith("-")]
    if name in _WRAPPERS and (first := _first_run(words)) is not None and not first.sure:
        yield May.unseen
    if name in _TOP or name in _SYSTEM or name.startswith("mkfs") or (name, *rest[:2]) == _ALL:
        is_look = name in ("docker", "podman", "nerdctl") and plain[:1] and plain[0] in _READING_BOX
        if not is_look:
            yield May.send if plain[:1] in (["push"], ["login"]) else May.system
    elif name in _SEND or _goes_elsewhere(name, plain):
        yield May.send
    elif name in _FETCH:
        yield May.send if sends(name, rest) else May.fetch
    elif name == "git":
        yield from _of_git(rest)
    elif name in ("gh", "hub", "glab"):
        is_read = len(plain) > 1 and plain[1] in _READING_HUB
        yield May.fetch if is_read or plain[:1] == ["search"] else May.send
    elif name in _INSTALLERS:
        yield from _of_installer(name, plain)
    elif name in _SHELLS or name in ("eval", "trap"):
        yield from _of_shell(words, command)
    elif _INTERPRETERS.fullmatch(name):
        yield from _of_interpreter(words, command, before)
    elif name in ("alias", "enable"):
        yield May.unseen


_ALL = ("kill", "-9", "-1")


def _goes_elsewhere(name: str, plain: Sequence[str]) -> bool:
    if name == "rsync":
        return any(":" in word for word in plain)
    return name == "openssl" and "s_client" in plain


def _of_git(rest: list[str]) -> Iterator[May]:
    place = 0
    while place < len(rest) and rest[place].startswith("-"):
        if rest[place] in ("-c", "--config-env", "--exec-path"):
            value = rest[place + 1] if place + 1 < len(rest) else ""
            if re.search(r"alias\.|command|pager|editor|hook|helper|!|insteadof", value, re.I):
                yield May.unseen
        has_value = rest[place] in ("-C", "-c", "--git-dir", "--work-tree", "--namespace")
        place += 2 if has_value else 1
    verb = rest[place] if place < len(rest) else ""
    if verb in ("push", "send-email", "send-pack", "svn", "p4", "http-push", "daemon"):
        yield May.send
    elif verb in ("clone", "fetch", "pull", "ls-remote", "submodule", "lfs", "remote", "archive"):
        yield May.fetch
    elif verb == "config" and {"--global", "--system"} & set(rest):
        yield May.outside


def _of_installer(name: str, plain: list[str]) -> Iterator[May]:
    verbs = plain[:3] if name in ("uv", "npm", "pnpm", "yarn", "poetry", "cargo") else plain[:1]
    if name in ("npx", "bunx", "uvx"):
        yield May.install
    elif any(verb in _PUBLISH_WORDS for verb in verbs[:2]):
        yield May.send
    elif any(verb in _INSTALL_WORDS for verb in verbs):
        yield May.install


def _code_in(words: Sequence[Word], command: Command) -> list[str]:
    """The command lines that a shell is given as text, as far as they can be read."""
    name = _name(words)
    if name == "eval":
        return [" ".join(word.text for word in words[1:])] if _all_sure(words) else []
    if name == "trap":
        return [words[1].text] if len(words) > 2 and words[1].sure else []
    if name not in _SHELLS:
        return []
    code, script = _given_to_shell(words)
    if code is not None:
        return [code.text] if code.sure else []
    return [command.body] if script is None and command.body is not None else []


def _of_shell(words: Sequence[Word], command: Command) -> Iterator[May]:
    """Whether a shell is given something that cannot be read here."""
    name = _name(words)
    if name in ("eval", "trap"):
        if not _all_sure(words[:2] if name == "trap" else words):
            yield May.unseen
        return
    code, script = _given_to_shell(words)
    if code is not None:
        unseen = not code.sure
    elif script is not None:
        unseen = script.text.startswith("<(")  # what it runs comes from elsewhere
    else:
        unseen = command.body is None and (command.fed or bool(command.reads))
    if unseen:
        yield May.unseen


def _given_to_shell(words: Sequence[Word]) -> tuple[Word | None, Word | None]:
    """What a shell is to run: the text after `-c`, or a file; neither means what it is fed."""
    for place, word in enumerate(words[1:], start=1):
        if re.fullmatch(r"-[a-zA-Z]*c[a-zA-Z]*", word.text):
            return (words[place + 1] if place + 1 < len(words) else Word("", sure=False)), None
        if not word.text.startswith(("-", "+")):
            return None, word
    return None, None


def _all_sure(words: Sequence[Word]) -> bool:
    return all(word.sure for word in words)


def _of_interpreter(
    words: Sequence[Word], command: Command, before: Sequence[Command]
) -> Iterator[May]:
    texts = [word.text for word in words]
    if "-m" in texts[1:-1]:
        module = words[texts.index("-m") + 1 :]
        if module[0].text in ("pip", "twine", "pipx", "uv"):
            yield from _of_program(module, command, before)
        elif module[0].text in ("http.server", "smtpd"):
            yield May.send
        return
    takes_program = any(not text.startswith("-") or text in ("-c", "-e") for text in texts[1:])
    if command.fed and not takes_program and _has_fetched(before):
        yield May.unseen


def _has_fetched(before: Sequence[Command]) -> bool:
    """Whether what a pipe brings was fetched in it."""
    for one in reversed(before):
        if one.words and _name(one.words) in _FETCH:
            return True
        if not one.fed:
            return False
    return False


def _first_run(words: Sequence[Word]) -> Word | None:
    """The word after a wrapper that most likely is the program."""
    for word in words[1:]:
        if word.text.startswith("-") or "=" in word.text or re.fullmatch(r"\d+\w?", word.text):
            continue
        return word
    return None


def _after(words: Sequence[Word], *options: str) -> Iterator[Word]:
    for word, following in pairwise(words):
        if word.text in options:
            yield following


def _name(words: Sequence[Word]) -> str:
    """The program, wherever it lies."""
    return words[0].text.rsplit("/", 1)[-1]
