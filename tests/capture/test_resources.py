import subprocess
import sys
import time

import numpy as np

from trialbook.capture.resources import ResourceMeter


def measured(action):
    meter = ResourceMeter()
    meter.start()
    action()
    return meter.stop()


def spin(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_cpu_time_is_that_of_the_attempt():
    used = measured(lambda: spin(0.1))
    assert 0.08 <= used.cpu_s < 0.5
    assert measured(lambda: time.sleep(0.1)).cpu_s < 0.05


def test_cpu_time_of_finished_children_counts():
    code = "import time\nwhile time.process_time() < 0.3: pass"
    used = measured(lambda: subprocess.run([sys.executable, "-c", code], check=True))
    assert used.cpu_s >= 0.28


SCRIPT = """
from trialbook.capture.resources import ResourceMeter
import numpy as np
def measured(mib):
    meter = ResourceMeter()
    meter.start()
    block = np.ones(mib << 17)
    del block
    used = meter.stop()
    print(used.peak_memory_bytes >> 20, len(used.gaps))
measured(200)
measured(400)
measured(10)
"""


def test_peak_memory_is_exact_or_said_to_be_a_bound():
    # Linux counts the size of whoever starts a process towards the process's own peak, and pytest
    # has grown by now; a shell in between is small.
    between = ["/bin/sh", "-c", '"$0" -c "$1"; exit $?', sys.executable, SCRIPT]
    done = subprocess.run(between, capture_output=True, text=True, check=True)
    (first, no_gap), (second, none_either), (third, gap) = (
        map(int, line.split()) for line in done.stdout.splitlines()
    )
    assert 200 <= first < 400
    assert 400 <= second < 600
    assert third == second
    assert (no_gap, none_either, gap) == (0, 0, 1)


def test_without_a_gpu_there_is_no_gpu_memory():
    assert measured(lambda: np.ones(10)).gpu_memory_bytes is None


def test_a_trial_pays_next_to_nothing():
    meter = ResourceMeter()
    times = []
    for _ in range(200):
        began = time.perf_counter()
        meter.start()
        meter.stop()
        times.append(time.perf_counter() - began)
    assert sorted(times)[100] < 1e-4
