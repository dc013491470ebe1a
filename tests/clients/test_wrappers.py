"""What wraps around a job: the Python packages healthchecks-decorator and healthchecks-wrapper, given a ping URL of ours."""

import pytest

from tests.clients.driving import Project, drive

pytestmark = pytest.mark.prove


def test_the_decorator_and_the_wrapper_tell_how_a_job_went(project: Project) -> None:
    """Start and success or fail around every job, the decorator's diagnostics and the wrapper's stack trace as bodies; the
    decorator by id, the wrapper by slug."""
    decorated, wrapped = project.new_check(name="decorated"), project.new_check(name="wrapped", slug="wrapped")
    by_slug = f"{project.url}/ping/{project.keys['ping_key']}/wrapped"
    drive("call_wrappers.py", "wrappers", project, decorated=decorated["ping_url"], wrapped=by_slug)

    assert project.types(decorated) == ["start", "success", "start", "fail"]
    result = project.pings(decorated)[1]
    assert (result["method"], result["body"]) == ("POST", "rows=12&gr%C3%B6%C3%9Fe=1+GB")

    assert project.types(wrapped) == ["start", "success", "start", "fail", "start", "success"]
    trace = project.pings(wrapped)[3]["body"]
    assert trace.startswith("Traceback (most recent call last):")
    assert trace.endswith("RuntimeError: the block broke: ümlaut\n")
    assert all(ping["ua"].startswith("Python-urllib/") for ping in project.pings(wrapped))
    assert project.check("wrapped")["status"] == "up"
