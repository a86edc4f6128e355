"""The images of ROS messages, in the encodings that cameras usually have."""

import numpy as np

from dp_hf.errors import UserError

# Channels in memory, and how to index red, green and blue.
_CHANNELS: dict[str, tuple[int, slice | list[int]]] = {
    "rgb8": (3, slice(None)),
    "bgr8": (3, slice(None, None, -1)),
    "rgba8": (4, slice(3)),
    "bgra8": (4, slice(2, None, -1)),
    "mono8": (1, [0, 0, 0]),
    # What drivers with OpenCV name by its type alone.
    "8UC3": (3, slice(None, None, -1)),
    "8UC4": (4, slice(2, None, -1)),
    "8UC1": (1, [0, 0, 0]),
}
# Of two pixels with one colour, where the four bytes Y, U, Y and V are.
_YUV422: dict[str, list[int]] = {name: [0, 1, 2, 3] for name in ("yuv422_yuy2", "yuyv")}
_YUV422 |= {name: [1, 0, 3, 2] for name in ("yuv422", "uyvy")}
# Of two by two pixels with one colour, in which order U and V are behind all Y.
_YUV420: dict[str, list[int]] = {"nv12": [0, 1], "nv21": [1, 0]}
_SUPPORTED = (*_CHANNELS, *_YUV422, *_YUV420)


def image_from_message(height: int, width: int, encoding: str, step: int, data) -> np.ndarray:
    """The RGB image, uint8 (height, width, 3), of a `sensor_msgs/Image`'s fields; `data` is any buffer of bytes.

    Raises:
        UserError: another encoding, or fewer bytes than the size asks for.
    """
    if encoding not in _SUPPORTED:
        raise UserError(
            f"camera images are encoded as {encoding!r}; supported are {', '.join(_SUPPORTED)}: choose one of them in"
            " the camera's driver, or convert them with image_proc"
        )
    channels = _CHANNELS[encoding][0] if encoding in _CHANNELS else 2 if encoding in _YUV422 else 1
    num_rows = height * 3 // 2 if encoding in _YUV420 else height
    is_whole = encoding in _CHANNELS or (width % 2 == 0 and (encoding in _YUV422 or height % 2 == 0))
    pixels = np.frombuffer(data, np.uint8)
    if step < width * channels or len(pixels) < num_rows * step or not height * width or not is_whole:
        raise UserError(f"a camera image of {width}x{height} {encoding} with step {step} has {len(pixels)} bytes")
    rows = pixels[: num_rows * step].reshape(num_rows, step)[:, : width * channels]
    if encoding in _CHANNELS:
        return np.ascontiguousarray(rows.reshape(height, width, channels)[..., _CHANNELS[encoding][1]])
    if encoding in _YUV422:
        y0, u, y1, v = np.moveaxis(rows.reshape(height, width // 2, 4)[..., _YUV422[encoding]], 2, 0)
        colours = np.stack([u, v], axis=2).repeat(2, axis=1)
        return _rgb(np.stack([y0, y1], axis=2).reshape(height, width), colours)
    colours = rows[height:].reshape(height // 2, width // 2, 2)[..., _YUV420[encoding]]
    return _rgb(rows[:height], colours.repeat(2, axis=0).repeat(2, axis=1))


def _rgb(luma: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """RGB by ITU-R BT.601, as cameras have it and OpenCV converts it: Y from 16 to 235, U and V around 128."""
    bright = 1.164 * np.maximum(luma.astype(np.float32) - 16, 0)
    u, v = np.moveaxis(colours.astype(np.float32) - 128, 2, 0)
    rgb = np.stack([bright + 1.596 * v, bright - 0.813 * v - 0.391 * u, bright + 2.018 * u], axis=2)
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
