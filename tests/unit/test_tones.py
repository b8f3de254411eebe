"""A tone sounds the same in A-law as in a WAV file."""

from __future__ import annotations

import numpy as np
import pytest
from hearing import alaw

from taxiphone.demo import sound


@pytest.mark.parametrize("hertz", [440, 700, 1100])
def test_a_tone_in_a_law_differs_from_the_wav_file_by_less_than_a_step_of_a_law(tmp_path, hertz):
    sound.write_tone(tmp_path / "tone.wav", hertz, 0.5)
    sound.write_tone(tmp_path / "tone.alaw", hertz, 0.5)
    linear = np.array(sound.read_wav(tmp_path / "tone.wav"), dtype=np.int32)
    decoded = alaw((tmp_path / "tone.alaw").read_bytes()).astype(np.int32)
    # Half a step is 8, and more for loud samples: a step is a sixteenth of a segment, which doubles (ITU-T G.711).
    assert len(decoded) == len(linear)
    assert np.all(np.abs(decoded - linear) <= np.maximum(np.abs(linear) / 32, 8))
