"""Refuses a camera whose pictures have another aspect than those that the policy was trained on."""

from collections.abc import Sequence

from dp_hf.cameras import by_camera
from dp_hf.control.camera import ASPECT_TOLERANCE
from dp_hf.control.policy_settings import PolicySettings
from dp_hf.control.robot import Frame, Robot, RobotWrapper, Stamped
from dp_hf.errors import UserError


class SameAspect(RobotWrapper):
    """Passes everything on to `robot`, whose pictures are to be of the policy's aspects, where those are known.

    Raises:
        UserError: by the first reading of a picture of another aspect, which the policy would see squashed.
    """

    def __init__(self, robot: Robot, settings: PolicySettings):
        super().__init__(robot)
        self._aspects = dict(zip(settings.camera_names, settings.recorded_aspects or (), strict=False))
        self._checked: set[tuple[str, Sequence[int]]] = set()

    def read_image(self) -> Stamped[Frame] | None:
        image = self.robot.read_image()
        if image is not None and self._aspects:
            pictures = by_camera(image.value)
            if len(pictures) == len(self._aspects) == 1:
                pictures = dict(zip(self._aspects, pictures.values(), strict=True))
            for camera, picture in pictures.items():
                if camera in self._aspects and (camera, picture.shape) not in self._checked:
                    self._require(camera, picture.shape)
        return image

    def _require(self, camera: str, shape: Sequence[int]) -> None:
        height, width = shape[:2]
        trained = self._aspects[camera]
        if abs(width / height / trained - 1) > ASPECT_TOLERANCE:
            raise UserError(
                f"camera {camera} gives {width}x{height}, and the policy was trained on pictures {trained:.3g} times as"
                f" wide as high, such as {round(height * trained)}x{height}: it would see them squashed. Set the camera"
                " as it was for the recordings"
            )
        self._checked.add((camera, tuple(shape)))
