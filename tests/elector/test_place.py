"""Where a process lives, read from a /proc that is made up: what is taken, and what is refused (L6, L10)."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kopf_leader.elector.identity import make_identity
from kopf_leader.elector.place import Unprovable, _find, find_place, is_marked, leave_mark
from kopf_leader.protocol.evidence import Life, last_words, life_in, place_of
from kopf_leader.protocol.settings import Settings
from tests.protocol.edits import edited

UID = "2f5c7c9e-9d0a-4c55-8a39-7c0b0a4f4f11"
LOG = f"/var/lib/kubelet/pods/{UID}/containers/operator/0a1b2c3d"
BOOT = "9f8e7d6c-5b4a-4392-8170-0f1e2d3c4b5a"

Make = Callable[..., Path]


@pytest.fixture
def proc(tmp_path: Path) -> Make:
    """Makes a /proc of a container; the keywords change what differs."""

    def make(
        *, pid: int = 7, init: str = "mnt:[1]", source: str = LOG, more: str = "", start: str = "4711", boot: str = BOOT
    ) -> Path:
        root = tmp_path / "proc"
        for folder in ("1/ns", f"{pid}/ns", "sys/kernel/random"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        (root / "self").symlink_to(str(pid))
        if pid != 1:
            (root / "1/ns/mnt").symlink_to(init)
            (root / f"{pid}/ns/mnt").symlink_to("mnt:[1]")
        mounts = [
            "22 27 0:21 / /proc rw,relatime - proc proc rw",
            f"30 27 8:1 /var/lib/kubelet/pods/{UID}/etc-hosts /etc/hosts rw - ext4 /dev/sda1 rw",
            f"31 27 8:1 {source} /dev/termination\\040log rw,relatime - ext4 /dev/sda1 rw",
            *more.splitlines(),
        ]
        (root / f"{pid}/mountinfo").write_text("\n".join(mounts) + "\n")
        (root / "1/stat").write_text(f"1 (tini (a b)) S {' '.join('0' for _ in range(18))} {start} 0 0\n")
        (root / "sys/kernel/random/boot_id").write_text(f"{boot}\n")
        return root

    return make


@pytest.mark.parametrize(
    "source",
    [
        LOG,
        f"/pods/{UID}/containers/operator/0a1b2c3d",
        f"/@/var/lib/k0s/kubelet/pods/{UID}/containers/operator/0a1b2c3d",
    ],
)
@pytest.mark.parametrize("pid", [1, 7], ids=["as PID 1", "under a supervisor"])
def test_a_container_of_a_kubelet(proc: Make, source: str, pid: int) -> None:
    """L6: pod, container and run from the kubelet's own mount, wherever its root is; and the start of PID 1."""
    place = find_place(proc(pid=pid, source=source), pid=pid)
    assert place.life == Life(place=place_of(UID, "operator"), run="0a1b2c3d", boot="9f8e7d6c", start=4711)
    assert place.message == Path("/dev/termination log")


NO_PLACE: dict[str, dict[str, str]] = {
    "shareProcessNamespace or hostPID: PID 1 is in another mount namespace": {"init": "mnt:[2]"},
    "not of a kubelet": {"source": "/var/lib/docker/containers/0a1b2c3d/log"},
    "its file is gone": {"source": f"{LOG}//deleted"},
    "two of them": {"more": f"32 27 8:1 {LOG[:-1]}e /other rw - ext4 /dev/sda1 rw"},
    "a PID namespace within the container": {"more": "32 27 0:21 / /proc rw - proc proc rw"},
    "no number": {"start": "yesterday"},
    "no boot id": {"boot": "?"},
}


@pytest.mark.parametrize("what", NO_PLACE.values(), ids=NO_PLACE)
def test_what_cannot_be_proved_from_is_refused(proc: Make, what: dict[str, str]) -> None:
    """L6: where the death of PID 1 is not the death of this process, or is not told, the identity has no life."""
    with pytest.raises(Unprovable):
        find_place(proc(**what), pid=7)


WITHOUT: dict[str, tuple[str, str]] = {
    "shareProcessNamespace or hostPID: PID 1 is in another mount namespace": ("pid != 1 and", "False and"),
    "two of them": ("if len(mounts) != 1:", "mounts = mounts[:1]\n    if not mounts:"),
    "a PID namespace within the container": ('.count("/proc") != 1', '.count("/proc") < 1'),
    "no boot id": ('not re.fullmatch("[0-9a-f]{8}", boot)', "not boot"),
}


@pytest.mark.parametrize("case", WITHOUT)
def test_each_condition_of_a_place_is_needed(proc: Make, case: str) -> None:
    """L6: without it, this case would pass for a place; `edited` has the one condition changed."""
    assert edited(_find, *WITHOUT[case])(proc(**NO_PLACE[case]), 7).life


def test_proc_of_another_pid_namespace_is_refused(proc: Make) -> None:
    """L6: numbers of processes there mean other ones here."""
    with pytest.raises(Unprovable):
        find_place(proc(), pid=8)


def test_an_unreadable_pid_1_is_refused(proc: Make) -> None:
    """L6: who may not look at PID 1 cannot know whose it is."""
    root = proc()
    (root / "1/ns/mnt").unlink()
    with pytest.raises(Unprovable):
        find_place(root, pid=7)


def test_the_identity_says_where_the_process_lives(proc: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """L10: with evidence it is `<pod>_<random>.<life>`, and without it as ever."""
    monkeypatch.setattr("kopf_leader.elector.place.PROC", proc(pid=os.getpid()))
    found = life_in(make_identity("op-1", takeover="evidence"))
    assert found is not None
    assert found[0] == "op-1"
    assert found[1].run == "0a1b2c3d"
    assert life_in(make_identity("op-1")) is None
    assert Settings(name="op", namespace="ns", identity=make_identity("p" * 300, takeover="evidence"))


def test_where_nothing_can_be_proved_the_identity_is_as_ever(proc: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """L10: no life, no proof: the holder is waited for."""
    monkeypatch.setattr("kopf_leader.elector.place.PROC", proc(pid=os.getpid(), source="/elsewhere"))
    assert len(make_identity("op-1", takeover="evidence")) == len("op-1_0123456789")


def test_last_words_are_added_to_what_is_there(proc: Make, tmp_path: Path) -> None:
    """L6: a line of their own, beside whatever the program or its supervisor has written."""
    source = f"31 27 8:1 {LOG} {tmp_path / 'message'} rw - ext4 /dev/sda1 rw"
    place = find_place(proc(source="/elsewhere", more=source), pid=7)
    place.message.write_text("begun")
    place.leave_word("op_1")
    place.leave_word("op_2")
    assert last_words("op_1") in place.message.read_text().splitlines()
    assert last_words("op_2") in place.message.read_text().splitlines()


def test_who_is_alive_in_this_pod_is_marked() -> None:
    """L6: the kernel tells who is still there, for as long as it is; nobody else is meant."""
    with leave_mark("op_review-1"):
        assert is_marked("op_review-1")
        assert not is_marked("op_review-2")
    assert not is_marked("op_review-1")
