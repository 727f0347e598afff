from pathlib import Path

import pytest

from trialbook.capture.placement import batch_job, container


@pytest.mark.parametrize(
    ("environ", "job"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": "4711"}, "slurm 4711"),
        ({"SLURM_JOB_ID": "4711", "SLURM_ARRAY_TASK_ID": "0"}, "slurm 4711_0"),
        (
            {"SLURM_JOB_ID": "13", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3"},
            "slurm 12_3",
        ),
        ({"PBS_JOBID": "12.server"}, "pbs 12.server"),
        ({"LSB_JOBID": "9", "LSB_JOBINDEX": "0"}, "lsf 9"),
        ({"LSB_JOBID": "9", "LSB_JOBINDEX": "3"}, "lsf 9_3"),
        ({"JOB_ID": "5"}, None),
        ({"JOB_ID": "5", "SGE_ROOT": "/sge", "SGE_TASK_ID": "undefined"}, "sge 5"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "HOSTNAME": "pod-1"}, "kubernetes pod-1"),
        ({"SLURM_JOB_ID": ""}, None),
    ],
)
def test_batch_jobs(environ, job):
    assert batch_job(environ) == job


IDENTITY = "ab" * 32


def file(root: Path, name: str, text: str = "") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def test_no_container(tmp_path):
    file(tmp_path, "proc/self/cgroup", "0::/user.slice/session-1.scope\n")
    assert container({}, tmp_path) is None


@pytest.mark.parametrize(
    ("files", "environ", "expected"),
    [
        ({".dockerenv": ""}, {}, "docker"),
        (
            {".dockerenv": "", "proc/self/cgroup": f"5:cpu:/docker/{IDENTITY}\n"},
            {},
            f"docker {IDENTITY}",
        ),
        (
            {
                ".dockerenv": "",
                "proc/self/cgroup": "0::/\n",
                "proc/self/mountinfo": "1 2 0:1 / /etc/hosts rw - ext4 "
                f"/var/lib/docker/containers/{IDENTITY}/hosts rw\n",
            },
            {},
            f"docker {IDENTITY}",
        ),
        (
            {"proc/self/cgroup": f"0::/kubepods/burstable/pod1/{IDENTITY}\n"},
            {},
            f"kubernetes {IDENTITY}",
        ),
        ({"run/.containerenv": ""}, {"container": "podman"}, "podman"),
        ({}, {"APPTAINER_CONTAINER": "/images/a.sif"}, "apptainer /images/a.sif"),
        ({}, {"container": "lxc"}, "lxc"),
    ],
)
def test_containers(tmp_path, files, environ, expected):
    for name, text in files.items():
        file(tmp_path, name, text)
    assert container(environ, tmp_path) == expected
