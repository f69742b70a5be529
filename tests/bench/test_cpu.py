import os
import subprocess
import sys

from bench import cpu
from bench.cpu import Used, spent

WORKER, CHILD = (10, 0.0), (11, 1.0)


def test_a_part_has_what_its_processes_used_themselves() -> None:
    before = {"worker": {WORKER: Used(1.0, 0.0), CHILD: Used(2.0, 0.0)}}
    after = {"worker": {WORKER: Used(1.5, 0.0), CHILD: Used(4.0, 0.0)}}
    assert spent(before, after) == {"worker": 2.5, "commands": 0.0}


def test_children_that_came_and_went_are_commands() -> None:
    before, after = {"worker": {WORKER: Used(1.0, 5.0)}}, {"worker": {WORKER: Used(1.0, 8.0)}}
    assert spent(before, after) == {"worker": 0.0, "commands": 3.0}


def test_what_a_child_used_before_is_not_counted_again_when_it_ends() -> None:
    before = {"worker": {WORKER: Used(1.0, 0.0), CHILD: Used(7.0, 0.0)}}
    after = {"worker": {WORKER: Used(1.0, 8.0)}}
    assert spent(before, after)["commands"] == 1.0


def test_backends_that_ended_belong_to_the_database() -> None:
    before, after = {"postgres": {WORKER: Used(1.0, 0.0)}}, {"postgres": {WORKER: Used(1.5, 2.0)}}
    assert spent(before, after) == {"postgres": 2.5, "commands": 0.0}


def test_a_process_belongs_to_its_nearest_ancestor_that_a_part_names() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        found = cpu.reading({"up": [os.getpid()], "worker": [child.pid]})
        assert [pid for pid, _ in found["worker"]] == [child.pid]
        assert child.pid not in [pid for pid, _ in found["up"]]
        child.communicate(b"\n")
