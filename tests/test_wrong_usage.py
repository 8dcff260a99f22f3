"""A wrong value of any option of any command is wrong usage: exit code 2, the option named, nothing done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from srn_deploy.cli import main

NEEDED = {"upscale": ["in.png", "out.png"], "eval": ["--hr", "originals"], "compare": ["a.json", "b.json"],
          "report": ["a.json"], "triton-repository": ["models"], "train": ["compact-x4", "--data", "images"],
          "models pull": ["rlfn-x4"]}
"""Arguments without which a command is wrong already. No such files exist: nothing gets as far as them."""

WRONG_TEXTS = {"--tile": ["many", "-32", "0", "1", "3.5", ""], "--for": ["24", "no.png", ""],
               "--size": ["24", "0x5", "24x", "8x8..16x16", ""],
               "--shapes": ["24", "0x0", "32x32..16x16", ""], "--compute-capability": ["eight", "89", ""],
               "--fit": ["24", "0x5", "5x0", "24x", "4x4x4", "9999999x9", ""],
               "--crf": ["many", "-7", "nan", "", "999"], "--encoder-option": ["preset", "=slow", ""],
               "--shard": ["4/3", "0/3", "x", "1", "1/0", "-1/3", "1/3/5", "1/ 3", ""],
               "--ray": ["ray://a:1", "a", "a:", ":1", "a b:1", "http://a:1", ""],
               "--memory": ["4X", "many", "-4G", "0", "nan", ""],
               "--name": ["{stem}", "{stem}.png", "../{stem}{suffix}", "{what}{suffix}", "{", "{stem:9}{suffix}", ""],
               "--host": ["", "a/b", "http://here"], "--token": ["", "short", "has a space in it, and commas"],
               "--max-file": ["4X", "many", "-4G", "nan", ""],
               "--lr-pattern": ["{", "{what}", "same", ""], "--set": ["residual", "=1", ""],
               "--onnxruntime": ["new", "1", "1.x", ""], "--tensorrt": ["new", "10", ""],
               "--server": ["localhost:8001", "http://localhost:8001", "grpc://localhost", "grpc://:8001", ""],
               "--network": ["Net", ":Net", "net.py:", "net.py:a-b", ""]}
"""Of options that are read as text and have a form; `--set` names are those of the network, which only a file says."""

WRONG_FILES = {"--output": ["graph.pt", "graph"], "--plot": ["figure.jpeg", "figure"]}
"""Of files whose suffix decides what is written."""

NAMES = {"--model", "--against", "--weights", "--codec"}
"""Options that name a model, what is in its file, or an encoder: whether that exists is not a question of usage."""


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def wrong_values(option: click.Option) -> list[str]:
    """Values that no run could take."""
    name, kind = option.opts[-1], option.type
    if option.is_flag or option.opts[0] in NAMES:
        return []
    if isinstance(kind, click.Path):
        return [*WRONG_FILES.get(name, []), ""]
    if name in WRONG_TEXTS:
        return WRONG_TEXTS[name]
    if isinstance(kind, click.Choice):
        return ["unheard-of", "", "1"]
    assert isinstance(kind, click.IntRange | click.FloatRange), f"{name}: what is a wrong value of {kind}?"
    return ["many", "-7", "nan", "", *(["1.5"] if isinstance(kind, click.IntRange) else ["0"])]


CASES = [(path, option.opts[-1], value) for path, command in commands(main) for option in command.params
         if isinstance(option, click.Option) for value in wrong_values(option)]


def test_the_walk_finds_the_options_of_every_kind() -> None:
    assert {name for _, name, _ in CASES} >= {*WRONG_TEXTS, *WRONG_FILES, "--device", "--threads", "--budget"}


@pytest.mark.parametrize(("path", "option", "value"), CASES)
def test_a_wrong_value_is_wrong_usage(path: tuple[str, ...], option: str, value: str, tmp_path: Path,
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(main, [*path, *NEEDED.get(" ".join(path), []), option, value])
    assert ended.exit_code == 2, ended.output
    assert option in ended.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", [path for path, _ in commands(main)])
def test_an_unknown_option_is_wrong_usage(path: tuple[str, ...]) -> None:
    ended = CliRunner().invoke(main, [*path, "--unheard-of"])
    assert ended.exit_code == 2
    assert "--unheard-of" in ended.stderr


def test_a_wrong_size_is_not_answered_with_a_form_that_is_not_taken() -> None:
    ended = CliRunner().invoke(main, ["bench", "srn-s-b6-x2", "--size", "24"])
    assert ended.exit_code == 2
    assert "MIN" not in ended.stderr
    assert "339x510" in ended.stderr


@pytest.mark.parametrize(("typed", "said"), [("learning_rat = 1", "learning_rate"), ("steps_ = 3", "steps"),
                                             ("hr_patch = 3", "hr_patch_px"), ("optimiser = 'adam'", "optimizer")])
def test_a_typing_error_in_a_recipe_names_the_nearest_field(tmp_path: Path, typed: str, said: str) -> None:
    recipe = tmp_path / "typo.toml"
    recipe.write_text(f'title = "x"\narchitecture = "srn"\n{typed}\n', encoding="utf-8")
    ended = CliRunner().invoke(main, ["train", str(recipe), "--data", str(tmp_path)])
    assert ended.exit_code == 1
    assert f"The nearest field is {said};" in ended.stderr
