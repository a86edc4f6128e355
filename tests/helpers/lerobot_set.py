"""Small LeRobot datasets, written without LeRobot: its layout is written out here."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from dp_hf.interop.lerobot.video import VideoWriter

CAMERA = "observation.images.front"


def picture(episode, frame, size=(32, 48)):
    """A different colour for every frame."""
    image = np.zeros((*size, 3), np.uint8)
    image[..., 0], image[..., 1] = 60 + 40 * episode, 40 + 20 * frame
    return image


def png(image):
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, "PNG")
    return encoded.getvalue()


def write_lerobot(
    root, version=3, width=6, kind="image", lengths=(6, 8), fps=10, camera=CAMERA, size=(32, 48), outcome=False
):
    """A dataset in the layout that LeRobot documents; returns the states.

    Args:
        size: height and width of the pictures.
        outcome: with the columns that sets of simulated tasks have of what followed.
    """
    vector = {"dtype": "float32", "shape": [width], "names": [f"joint_{i}.pos" for i in range(width)]}
    info = {
        "codebase_version": "v3.0" if version == 3 else "v2.1",
        "robot_type": "so101_follower",
        "total_episodes": len(lengths),
        "total_frames": sum(lengths),
        "chunks_size": 1000,
        "fps": fps,
        "features": {
            "action": vector,
            "observation.state": vector,
            camera: {"dtype": kind, "shape": [*size, 3], "names": ["height", "width", "channels"]},
        },
    }
    if outcome:
        for column, dtype in (("next.reward", "float32"), ("next.done", "bool"), ("next.success", "bool")):
            info["features"][column] = {"dtype": dtype, "shape": [1], "names": None}
    rng = np.random.default_rng(0)
    states, tables, records, video = [], [], [], None
    for episode, length in enumerate(lengths):
        states.append(rng.uniform(-90, 90, (length, width)).astype(np.float32))
        vectors = pa.FixedSizeListArray.from_arrays(states[-1].ravel(), width)
        columns = {
            "action": vectors,
            "observation.state": vectors,
            "timestamp": pa.array(np.arange(length, dtype=np.float32) / fps),
            "frame_index": np.arange(length),
            "episode_index": np.full(length, episode),
        }
        if outcome:
            columns["next.reward"] = pa.array(np.linspace(0, 1, length, dtype=np.float32))
            columns["next.done"] = columns["next.success"] = np.arange(length) == length - 1
        record = {"episode_index": episode, "tasks": ["stack"], "length": length}
        images = [picture(episode, frame, size) for frame in range(length)]
        if kind == "image":
            columns[camera] = [{"bytes": png(image), "path": f"frame-{i}.png"} for i, image in enumerate(images)]
        else:
            if version == 3:
                video = video or VideoWriter(root / f"videos/{camera}/chunk-000/file-000.mp4", fps, size[::-1])
                record |= {f"videos/{camera}/{key}": 0 for key in ("chunk_index", "file_index")}
                record[f"videos/{camera}/from_timestamp"] = video.num_frames / fps
            else:
                video = VideoWriter(root / f"videos/chunk-000/{camera}/episode_{episode:06d}.mp4", fps, size[::-1])
            for image in images:
                video.write(image)
            if version == 2:
                video.close()
        records.append(record)
        tables.append(pa.table(columns))
    meta, data = root / "meta", root / "data" / "chunk-000"
    data.mkdir(parents=True)
    meta.mkdir()
    (meta / "info.json").write_text(json.dumps(info))
    if version == 3:
        (meta / "episodes" / "chunk-000").mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(records), meta / "episodes" / "chunk-000" / "file-000.parquet")
        pq.write_table(pa.concat_tables(tables), data / "file-000.parquet")
        if video is not None:
            video.close()
    else:
        (meta / "episodes.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        for episode, table in enumerate(tables):
            pq.write_table(table, data / f"episode_{episode:06d}.parquet")
    return np.concatenate(states)


def edit_info(root, **changes):
    info = json.loads((root / "meta" / "info.json").read_text())
    (root / "meta" / "info.json").write_text(json.dumps(info | changes))


def name_numbers(root, names, **more):
    """Names for the elements of states and actions, as they are found in other people's sets."""
    info = json.loads((root / "meta" / "info.json").read_text())
    for column in ("observation.state", "action"):
        info["features"][column] = info["features"][column] | {"names": names} | more
    edit_info(root, features=info["features"])
