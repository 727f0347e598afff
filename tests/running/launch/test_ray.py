"""Workers on a real Ray cluster of two nodes, whose token every side must have."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import pytest

from trialbook.errors import InvalidInputError
from trialbook.records.execution import EndReason
from trialbook.records.launches import JobState, PlacedJob
from trialbook.running.launch.contract import Launcher, WorkerOrder
from trialbook.running.launch.ray import NAMESPACE, RayLauncher
from trialbook.testing.laboratory import Laboratory, Launched, until
from trialbook.testing.launching import LaunchCase, LauncherContract

# Ray reads whether there is a token when it is imported, so nothing here imports it: the fixture
# sets the token before the launcher does.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
]

_CLUSTER = """
import sys
from ray.cluster_utils import Cluster

settings = dict(num_cpus=1, object_store_memory=80_000_000)
cluster = Cluster(initialize_head=True, head_node_args=dict(**settings, include_dashboard=False))
nodes = [cluster.add_node(**settings)]
print(cluster.address, flush=True)
for line in sys.stdin:
    cluster.remove_node(nodes.pop(), allow_graceful=False)
    print("lost", flush=True)
cluster.shutdown()
"""


@dataclass
class RayCluster:
    """A head and one more node; this process holds the token in its environment."""

    address: str
    asked: IO[str]
    answers: IO[str]

    def lose_node(self) -> None:
        """Kill the processes of the second node."""
        self.asked.write("lose\n")
        self.asked.flush()
        assert self.answers.readline() == "lost\n"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    place = tmp_path_factory.mktemp("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(24))
        with (place / "errors").open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-c", _CLUSTER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert process.stdin is not None
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        try:
            assert address, (place / "errors").read_text()
            yield RayCluster(address, process.stdin, process.stdout)
        finally:
            process.stdin.close()
            process.wait(60)
            process.stdout.close()


class OnRay(LaunchCase):
    """What the engine needs to be tested."""

    engine = "ray"

    @pytest.fixture(scope="class")
    @classmethod
    def options(cls, cluster: RayCluster) -> Mapping[str, Any]:
        return {"address": cluster.address, "num_cpus": "1"}

    def stranger(self, job: PlacedJob) -> PlacedJob:
        return PlacedJob(job.index, "trialbook-00000000-0")

    def half_failing(self, launcher: Launcher, order: WorkerOrder) -> None:
        """Take the name of the second worker's actor."""
        taken = (
            "import os, ray, sys\n"
            "ray.init(sys.argv[1], namespace=sys.argv[2], log_to_driver=False)\n"
            "@ray.remote(num_cpus=0)\n"
            "class Taken: pass\n"
            "Taken.options(name=sys.argv[3], lifetime='detached').remote()\n"
        )
        assert isinstance(launcher, RayLauncher)
        subprocess.run(
            [
                *(sys.executable, "-c", taken, launcher.address, NAMESPACE),
                f"trialbook-{order.launch_id}-1",
            ],
            check=True,
            capture_output=True,
        )


class TestContract(OnRay, LauncherContract):
    @pytest.fixture(scope="class")
    @classmethod
    def third(
        cls, lab: Laboratory, launcher: Launcher, options: Mapping[str, Any], second: Launched
    ) -> Launched:
        """Two more, once the second have left."""
        cls.let_leave(lab, launcher, second)
        return cls.launched(lab, launcher, options)

    def test_the_trials_of_a_lost_node_are_done_by_others(
        self, lab: Laboratory, launcher: Launcher, cluster: RayCluster, third: Launched
    ) -> None:
        held = lab.running(third)
        cluster.lose_node()
        # The worker hears of it from the kernel, and gives its trial back; Ray needs its time.
        lost = until(lambda: _left(lab, third)).pop()
        lab.open()
        number = held[lost].number
        until(lambda: lab.trial(number).state == "COMPLETE")
        # It may have had attempts before: a trial that was given back is the next one's.
        before, after = lab.trial(number).attempts[-2:]
        workers = lab.workers(third)
        assert before.worker_id == workers[lost].identity.worker_id
        assert before.end_reason in (EndReason.PREEMPTED, EndReason.LOST)
        assert after.worker_id == workers[1 - lost].identity.worker_id
        until(lambda: launcher.status(third.jobs)[lost].state is JobState.ENDED)
        assert launcher.status(third.jobs)[lost].says == "lost with its node, or killed"


def _left(lab: Laboratory, launch: Launched) -> list[int]:
    return [index for index, w in lab.workers(launch).items() if w.state != "working"]


def test_every_bad_option_is_named_at_once() -> None:
    with pytest.raises(InvalidInputError) as caught:
        RayLauncher(
            {
                "address": "http://head:8265",
                "num_cpus": "many",
                "num_gpus": -1,
                "resources": "big",
                "queue": "x",
            }
        )
    for part in ("dashboard", "num_cpus", "num_gpus", "resources", "'queue'"):
        assert part in str(caught.value)


def test_a_wrong_token_is_refused_by_name(cluster: RayCluster, tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from trialbook.running.launch.ray import RayLauncher\n"
        "RayLauncher({'address': sys.argv[1]}).status([])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, cluster.address],
        env={
            **os.environ,
            "RAY_AUTH_TOKEN": secrets.token_hex(24),
            "RAY_NUM_REDIS_GET_RETRIES": "2",  # of a second each, else 20
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "MissingEngineError: the Ray cluster cannot be reached" in done.stderr
    assert "RAY_AUTH_TOKEN" in done.stderr
