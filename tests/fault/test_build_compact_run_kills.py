"""`run`, `build` and `compact` at once, each ended by SIGKILL again and again; `make kill-build` does it for longer."""

import random

import pytest

from headgate.testing.flowing_files import FlowingFiles, flowing_events
from headgate.testing.killed_jobs import Place, commits, killed_jobs

pytestmark = pytest.mark.kill

EVENTS = 1_000
KILLS = 2  # of each, at least


def test_a_consumer_builds_and_compactions_that_are_all_killed_leave_every_event_once_in_both_layers(tmp_path):
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    lines, truth = flowing_events(EVENTS, rng, types=1)
    flow = FlowingFiles(lines, tmp_path / "source", rng, lines_a_second=EVENTS / 3)
    place = Place(source=tmp_path / "source", lake=str(tmp_path / "lake"), table_format="delta", logs=tmp_path / "logs")
    ended = killed_jobs(
        place,
        flow,
        truth,
        rng,
        batch_events=(20, 100),
        run_seconds=4.0,
        is_over=lambda jobs: min(job.kills for job in jobs.values()) >= KILLS and flow.written > EVENTS // 2,
    )
    assert ended.found == []
    assert min(ended.kills.values()) >= KILLS
    assert min(commits(ended.folder).values()) > 0
