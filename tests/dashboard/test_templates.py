"""Each template is a task that works as it is."""

import json
import subprocess
from importlib import import_module

import pytest

from dashboard import forms
from dashboard.templates import TEMPLATES
from db.actions import HttpAction, PythonAction, ShellAction
from db.specs import parse_task


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_is_a_task(template: str) -> None:
    document = forms.new_document("Europe/Berlin") | TEMPLATES[template].in_zone("Europe/Berlin")
    spec = parse_task(document)
    assert spec.kind == template
    match spec.action:
        case ShellAction():
            done = subprocess.run(["/bin/sh", "-c", spec.action.command], env={"DUETIME_DUE_AT": "noon"}, check=True)
            assert done.returncode == 0
        case PythonAction():
            module, name = spec.action.callable.split(":")
            assert json.dumps(getattr(import_module(module), name)(**spec.action.kwargs))
        case HttpAction():
            assert spec.action.url.startswith("https://")
        case _:
            raise AssertionError(spec)
