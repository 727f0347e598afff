"""GPUs shared among workers, within the mask that a scheduler set."""

import pytest

from trialbook.errors import InvalidInputError
from trialbook.running.gpus import device_shares, visible_devices


def four() -> tuple[str, ...]:
    return ("0", "1", "2", "3")


@pytest.mark.parametrize(
    ("mask", "devices"),
    [
        (None, ("0", "1", "2", "3")),
        ("2,3", ("2", "3")),
        (" 2 , 3 ", ("2", "3")),
        ("GPU-8f2a,GPU-11bc", ("GPU-8f2a", "GPU-11bc")),
        ("MIG-1,MIG-2", ("MIG-1", "MIG-2")),
        ("", ()),
        ("-1", ()),
        ("1,-1,2", ("1",)),
        ("NoDevFiles", ()),
    ],
)
def test_the_mask_says_what_is_visible(mask: str | None, devices: tuple[str, ...]) -> None:
    environment = {} if mask is None else {"CUDA_VISIBLE_DEVICES": mask}
    assert visible_devices(environment, four) == devices


def test_each_worker_gets_its_own() -> None:
    assert device_shares(("4", "5", "6", "7"), 2, 2) == ("4,5", "6,7")
    assert device_shares(("GPU-a", "GPU-b", "GPU-c"), 3, 1) == ("GPU-a", "GPU-b", "GPU-c")


@pytest.mark.parametrize(
    ("devices", "workers", "each", "hint"),
    [
        (("0", "1", "2"), 2, 2, "--workers 1"),
        (("0",), 1, 2, "leave --gpus-per-worker out"),
        ((), 1, 1, "leave --gpus-per-worker out"),
    ],
)
def test_too_few_are_a_clear_error(
    devices: tuple[str, ...], workers: int, each: int, hint: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        device_shares(devices, workers, each)
    assert f"need {workers * each}, {len(devices)} " in caught.value.what
    assert hint in str(caught.value)
