import pytest
from moving_spot import course, picture, write_course


@pytest.fixture
def make_recordings(tmp_path):
    """A function that writes twelve episodes, one of them as `spoil` makes it of its states and pictures."""

    def make(spoil=None, **options):
        folder = tmp_path / f"recordings_{len([*tmp_path.iterdir()])}"
        for seed in range(12):
            states = course(seed)
            pictures = [picture(state) for state in states]
            if seed == 7 and spoil is not None:
                states, pictures = spoil(states, pictures)
            write_course(folder, f"episode_{seed}", states, pictures, **options)
        return folder

    return make
