"""Recordings and LeRobot sets with a random fault: the true commands say what is wrong, or what they read is right."""

import json
import random
import shutil
from contextlib import suppress
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lerobot_set import CAMERA, write_lerobot

from dp_hf.cli.main import main
from dp_hf.episodes.dataset import load_dataset_folder

SEEDS = [range(12), pytest.param(range(12, 262), marks=pytest.mark.slow)]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
VALUES = [
    *(None, True, 0, -1, 7, 1e300, 10**400, float("nan"), float("inf"), "", "x", "../x", "/etc/passwd", "a\0b"),
    *([], [1], [[1.0]], [None] * 6, {}, {"a": 1}, {"": None}, "0:1", "v9.9", 2**63, -(2**63), "\ud800", "x" * 5000),
]


def damage_bytes(chance, path):
    data = bytearray(path.read_bytes())
    kind = chance.randrange(6)
    if kind == 0:
        data = data[: chance.randrange(len(data) + 1)]
    elif kind == 1:
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
    elif kind == 2:
        data = bytearray(POINTER)
    elif kind == 3:
        data = bytearray(b"\0\5\x16\7" + bytes(60))
    elif kind == 4:
        start = chance.randrange(len(data))
        del data[start : start + chance.randint(1, 40)]
    else:
        data *= 2
    path.write_bytes(data)


def damage_files(chance, root):
    """Something that happens to whole files and folders."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    path, other = chance.choice(files), chance.choice(files)
    kind = chance.randrange(7)
    if kind == 0:
        path.unlink()
    elif kind == 1:
        other.write_bytes(path.read_bytes())
    elif kind == 2:
        path.unlink()
        path.symlink_to(chance.choice([other, "/etc/hostname", path, root]))
    elif kind == 3:
        path.unlink()
        path.mkdir()
    elif kind == 4:
        path.rename(path.with_name(chance.choice(["._" + path.name, path.name.upper(), "x" + path.suffix])))
    elif kind == 5:
        shutil.copytree(path.parent, chance.choice([root, root.parent]) / f"copy_{chance.randrange(9)}")
    else:
        damage_bytes(chance, path)


def damage_json(chance, path):
    """A value anywhere in a JSON file becomes another, goes, or comes twice."""
    content = json.loads(path.read_text())
    places = []

    def walk(value):
        for key in value if isinstance(value, dict) else range(len(value)):
            places.append((value, key))
            if isinstance(value[key], (dict, list)):
                walk(value[key])

    walk(content)
    holder, key = chance.choice(places)
    kind = chance.randrange(4)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder.insert(chance.randrange(len(holder) + 1), holder[key])
    elif kind == 2 and isinstance(holder, list):
        chance.shuffle(holder)
    else:
        holder[key] = chance.choice(VALUES)
    path.write_text(json.dumps(content))


def damage_table(chance, path):
    """A cell, a column or the rows of a parquet file."""
    rows = pq.read_table(path).to_pylist()
    column, kind = chance.choice([*rows[0]]), chance.randrange(7)
    if kind == 0:
        for row in rows:
            del row[column]
    elif kind == 1:
        chance.shuffle(rows)
    elif kind == 2:
        del rows[chance.randrange(len(rows)) :]
    elif kind == 3:
        rows.insert(chance.randrange(len(rows)), chance.choice(rows))
    elif kind == 4:
        value = chance.choice(VALUES)
        for row in rows:
            row[column] = value
    elif kind == 5:
        chance.choice(rows)[column] = chance.choice([None, *(row[column] for row in rows)])
    else:
        for row in rows:
            row["new " + column] = row.pop(column)
    try:
        pq.write_table(pa.Table.from_pylist(rows), path)
    except (pa.ArrowException, OverflowError, UnicodeError):  # what Arrow cannot hold cannot be in its file
        path.write_bytes(POINTER)


def said(arguments, capsys):
    """Runs a command; returns its exit code. It ends in one sentence, or in order."""
    try:
        code = main(arguments)
    except SystemExit as exit_:
        code = exit_.code
    output = capsys.readouterr()
    assert code in (0, 1, 2)
    assert "Traceback" not in output.err
    assert code != 2 or "error: " in output.err
    assert (output.out + output.err).replace("\n", "").replace("\t", "").replace("\r", "").isprintable()
    return code


def rows_of(folder):
    """(episode, picture's bytes, state, action) of every row of a dataset."""
    dataset, _ = load_dataset_folder(folder)
    table = dataset.data.to_pydict()
    camera = next(name for name in table if isinstance(table[name][0], dict))
    pictures = (cell["bytes"] for cell in table[camera])
    numbers = (np.array(table[name], np.float32) for name in ("state", "action"))
    return list(zip(table["episode_index"], pictures, *numbers, strict=True))


def listed(states_files):
    """(picture's bytes, state) of everything that states files list, read without a check."""
    pairs = set()
    for file in states_files:
        try:
            rows = json.loads(file.read_bytes().decode())
        except (OSError, ValueError):
            continue
        for row in rows:
            with suppress(OSError, ValueError, TypeError, KeyError, OverflowError):
                state = np.array([*row["angles"], *np.clip(np.ravel(row["gripper_value"]), 0, 100)], np.float64)
                pairs.add(((file.parent / row["image"]).read_bytes(), state.astype(np.float32).tobytes()))
    return pairs


def listed_in_tables(tables):
    """(picture's bytes, state, action) of every row of LeRobot's data files, read without a check."""
    found = set()
    for table in tables:
        with suppress(OSError, ValueError):
            for row in pq.read_table(table).to_pylist():
                with suppress(TypeError, ValueError, KeyError):
                    vectors = (np.array(row[name], np.float32).ravel() for name in ("observation.state", "action"))
                    found.add((row[CAMERA]["bytes"], *map(tuple, vectors)))
    return found


@pytest.mark.parametrize("seeds", SEEDS)
def test_damaged_episodes(tmp_path, record_episode, capsys, seeds):
    for seed in range(2):
        record_episode(tmp_path / "whole", f"episode_{seed}", num_frames=9, seed=seed, fps=10)
    whole = listed((tmp_path / "whole").rglob("states.json"))
    assert len(whole) == 18
    for seed in seeds:
        chance, root, out = random.Random(seed), tmp_path / str(seed) / "in", tmp_path / str(seed) / "out"
        shutil.copytree(tmp_path / "whole", root)
        states = root / f"episode_{chance.randrange(2)}" / "states.json"
        damage = chance.choice([damage_files, damage_json, damage_json, damage_bytes])
        damage(chance, root if damage is damage_files else states)
        assert said(["check-episodes", "scan", str(root)], capsys) is not None
        if said(["convert-episodes", "--data_dir", str(root), "--output_dir", str(out)], capsys) == 0:
            pairs = whole | listed(root.rglob("states.json"))
            rows = rows_of(out)
            assert all((picture, state.tobytes()) in pairs for _, picture, state, _ in rows), seed
            for (episode, *_, action), (following, _, state, _) in pairwise(rows):
                assert episode != following or np.array_equal(action, state), seed
        shutil.rmtree(root.parent)


@pytest.mark.parametrize("seeds", SEEDS)
def test_damaged_lerobot_sets(tmp_path, capsys, seeds):
    for version in (2, 3):
        write_lerobot(tmp_path / f"v{version}", version)
    for seed in seeds:
        chance, root, out = random.Random(seed), tmp_path / str(seed) / "in", tmp_path / str(seed) / "out"
        shutil.copytree(tmp_path / f"v{2 + seed % 2}", root)
        damage = chance.choice([damage_files, damage_json, damage_table, damage_table])
        tables = sorted(root.rglob("*.parquet"))
        damage(chance, {damage_files: root, damage_json: root / "meta/info.json"}.get(damage, chance.choice(tables)))
        if said(["convert-episodes", "from-lerobot", "--data_dir", str(root), "--output_dir", str(out)], capsys) == 0:
            rows = listed_in_tables(root.glob("data/*/*.parquet"))
            has_actions = any(rows)  # else states become actions, which is said
            assert all((picture, *map(tuple, row)) in rows for _, picture, *row in rows_of(out) if has_actions), seed
        shutil.rmtree(root.parent)
