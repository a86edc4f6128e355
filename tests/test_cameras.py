from dp_hf.cameras import as_frame, by_camera, camera_columns


def test_the_only_camera_is_called_image():
    assert camera_columns({"head": "head"}) == {"head": "image"}
    assert camera_columns({"/a/rgb": "a", "/b/rgb": "b"}) == {"/a/rgb": "a", "/b/rgb": "b"}
    assert camera_columns({}) == {}


def test_a_frame_is_a_picture_or_a_dict_of_them():
    several = {"front": 1, "wrist": 2}
    assert as_frame({"head": 1}) == 1
    assert as_frame(several) == by_camera(several) == several
    assert by_camera(1) == {"image": 1}
