"""What is in deploy/ fits the commands and the files of this repository, and starts a server."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import typer.main
from running import running_server
from subprocesses import clean_environment
from typer.testing import CliRunner

from minilm_retrieval.cli.main import app

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
UNIT = (DEPLOY / "minilm.service").read_text(encoding="utf-8")
README = (DEPLOY / "README.md").read_text(encoding="utf-8")
INSTRUCTIONS = [
    re.sub(r"\s*\\\n\s*", " ", instruction)
    for instruction in re.findall(
        r"^[A-Z]+ (?:.*\\\n)*.*$", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE
    )
]
KEYS = {"MINILM_API_KEYS": "one-key,another"}


def of_kind(kind: str) -> list[str]:
    """Return the arguments of each of the Dockerfile's instructions of a kind."""
    return [rest for word, _, rest in (line.partition(" ") for line in INSTRUCTIONS) if word == kind]


def settings(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


def commands() -> dict[str, list[str]]:
    """Return the command that each file runs the server with."""
    (entry,) = of_kind("ENTRYPOINT")
    given = re.findall(r"(?<!--unit )\bminilm (--.+?)(?:`|$)", README, re.MULTILINE)
    shown = re.findall(r"^ExecStart=(.+)$", README, re.MULTILINE)
    return {
        "image": json.loads(entry),
        "unit": shlex.split(settings(UNIT)["ExecStart"]),
        "unit for a directory": shlex.split(shown[-1]),
        **{f"image with {line}": json.loads(entry) + shlex.split(line) for line in given},
    }


def options(name: str) -> dict[str, object]:
    """Parse a command as the command line would."""
    program, word, *arguments = commands()[name]
    assert (Path(program).name, word) == ("minilm", "serve")
    command = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    return dict(command.make_context("serve", arguments).params)


@pytest.mark.parametrize("name", commands())
def test_options_exist(name: str) -> None:
    parsed = options(name)
    assert (parsed["host"], parsed["port"], parsed["log_format"]) == ("0.0.0.0", 8444, "json")


@pytest.mark.parametrize("name", ["image", "unit"])
def test_the_server_starts_with_keys_and_not_without(name: str) -> None:
    arguments = commands()[name][2:]
    with running_server(*arguments, "--port", "0", environment=KEYS) as server:
        url = f"http://127.0.0.1:{server.port}/v1/embeddings"
        assert httpx.post(url, json={"input": "a"}).status_code == 401
        assert httpx.post(url, json={"input": "a"}, headers={"Authorization": "Bearer another"}).status_code == 200
        assert healthy(server.port)
        after = server.log.index(f"Serving {server.url}/v1") + 1
        assert all(json.loads(line) for line in server.log[after:])
    assert not healthy(server.port)
    refused = CliRunner().invoke(app, ["serve", *arguments], env={"MINILM_API_KEYS": ""})
    assert refused.exit_code == int(settings(UNIT)["RestartPreventExitStatus"])
    assert "MINILM_API_KEYS" in refused.output


def healthy(port: int) -> bool:
    """Ask as the image's health check does, which knows no key."""
    (check,) = of_kind("HEALTHCHECK")
    python, flag, code = json.loads(check.partition(" CMD ")[2])
    assert python == "python3"
    (exposed,) = of_kind("EXPOSE")
    assert f"127.0.0.1:{exposed}/ready" in code
    code = code.replace(f":{exposed}/", f":{port}/")
    done = subprocess.run([sys.executable, flag, code], env=clean_environment({}), capture_output=True, timeout=30)
    return done.returncode == 0


def test_the_image_is_of_files_that_are_there() -> None:
    ignore = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = {line[1:] for line in ignore if line.startswith("!")}
    assert ignore[0] == "*"
    copied = {source for line in of_kind("COPY") if "--from" not in line for source in line.split()[:-1]}
    assert copied == let_in
    for name in copied:
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("text", ["\n".join(INSTRUCTIONS), README], ids=["image", "README"])
def test_what_is_installed_is_pinned(text: str) -> None:
    installs = re.findall(r"-m pip install (.*)", text)
    assert len(installs) == 2
    assert all("--constraint constraints.txt" in line for line in installs)
    (extras,) = re.findall(r'"\.\[([\w,]+)\]"', installs[0])
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert all(re.search(rf"^{extra} = \[", project, re.MULTILINE) for extra in extras.split(","))
    (model,) = re.findall(r"^MODEL = (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert model in installs[1], "the model package has the version that the tests run with"
    assert "\nllama-index-core==" in (ROOT / "constraints.txt").read_text(encoding="utf-8")


def test_the_image_runs_as_nobody_of_importance() -> None:
    kinds = [line.partition(" ")[0] for line in INSTRUCTIONS]
    assert kinds.index("USER") < kinds.index("ENTRYPOINT")
    assert all(int(id) >= 1000 for id in of_kind("USER")[-1].split(":"))


def test_nothing_names_a_host() -> None:
    for file in DEPLOY.iterdir():
        found = re.findall(r"https?://[^\s'\"/]+", file.read_text(encoding="utf-8"))
        assert set(found) <= {"http://127.0.0.1:8444"}, file.name


def test_stopping_takes_less_time_than_is_given() -> None:
    seconds = options("unit")["shutdown_timeout"]
    assert isinstance(seconds, float)
    assert float(settings(UNIT)["TimeoutStopSec"]) > seconds
    assert [float(value) > seconds for value in re.findall(r"--stop-timeout (\d+)", README)] == [True]


def test_the_unit_gives_the_server_little() -> None:
    unit = settings(UNIT)
    for name in ("DynamicUser", "NoNewPrivileges", "PrivateTmp", "ProtectHome"):
        assert unit[name] == "yes"
    assert unit["ProtectSystem"] == "strict"
    assert unit["CapabilityBoundingSet"] == ""
    assert unit["Restart"] == "on-failure"
    assert unit["EnvironmentFile"] in README


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("drop_in", [False, True], ids=["as it is", "for a directory"])
def test_systemd_understands_the_unit(drop_in: bool, tmp_path: Path) -> None:
    # It makes sure that the program is there.
    unit = UNIT.replace("/opt/minilm/bin/minilm", sys.executable)
    if drop_in:
        (change,) = re.findall(r"^```\n(\[Service\]\n.*?)```", README, re.MULTILINE | re.DOTALL)
        unit += change.replace("/opt/minilm/bin/minilm", sys.executable)
    file = tmp_path / "minilm.service"
    file.write_text(unit, encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
