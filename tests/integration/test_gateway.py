"""The HTTP interface, as a client meets it: calls, their errors, and what the server says about itself."""

from __future__ import annotations

import asyncio
import datetime
import math
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

import pyhost
from pyhost import views
from pyhost.config import Options
from pyhost.gateway import create_app
from pyhost.monitor import Monitor

MESSAGEPACK = {"Content-Type": "application/msgpack"}


def result(response: httpx.Response):
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return response.json()["result"]


def problem(response: httpx.Response, status: int, name: str) -> dict:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["type"] == f"urn:pyhost:problem:{name}"
    assert document["status"] == status
    assert document["instance"] == response.request.url.path
    return document


def test_an_array_is_positional_an_object_is_by_name_and_nothing_is_nothing(http):
    assert result(http.post("/call/probe/add", json=[2, 3])) == 5
    assert result(http.post("/call/probe/add", json={"b": 2, "a": 1, "scale": 0.5})) == 1.5
    assert result(http.post("/call/probe/echo")) is None


def test_messagepack_goes_in_and_out(http):
    content = msgspec.msgpack.encode({"parts": [b"a\xff", b"b"], "end": b"."})
    response = http.post("/call/probe/join", content=content, headers=MESSAGEPACK)
    assert response.headers["content-type"] == "application/msgpack"
    assert msgspec.msgpack.decode(response.content) == {"result": b"a\xffb."}


def test_accept_chooses_the_form_of_the_answer(http):
    response = http.post("/call/probe/everything", headers={"Accept": "application/msgpack"})
    assert msgspec.msgpack.decode(response.content)["result"] == {
        "none": None,
        "set": [3],
        "tuple": [1, 2],
        "bytes": b"abc",
        "time": datetime.datetime(2025, 1, 2, 3, 4, tzinfo=datetime.UTC),
    }
    assert result(http.post("/call/probe/everything")) == {
        "none": None,
        "set": [3],
        "tuple": [1, 2],
        "bytes": "YWJj",
        "time": "2025-01-02T03:04:00Z",
    }


def test_base64_is_bytes_to_a_parameter_of_bytes_and_text_to_others(http):
    assert result(http.post("/call/probe/join", json=[["YQ==", "Yg=="]])) == "YWI="
    assert result(http.post("/call/probe/echo", json=["YQ=="])) == "YQ=="


def test_bytes_are_the_body_where_another_type_is_asked_for(http):
    response = http.post("/call/probe/join", json=[["iVBORw=="]], headers={"Accept": "image/png"})
    assert response.content == b"\x89PNG"
    assert response.headers["content-type"] == "image/png"
    assert response.headers["x-content-type-options"] == "nosniff"
    refused = http.post("/call/probe/add", json=[1], headers={"Accept": "image/png"})
    assert problem(refused, 406, "not-acceptable")["detail"] == (
        "the result is of type float; ask for application/json or application/msgpack"
    )


def test_infinity_is_only_to_be_had_as_messagepack(http):
    document = problem(http.post("/call/probe/infinite"), 406, "not-acceptable")
    assert document["detail"] == (
        "JSON cannot say the result: it holds inf; ask for it with Accept: application/msgpack"
    )
    response = http.post("/call/probe/infinite", headers={"Accept": "application/msgpack"})
    assert msgspec.msgpack.decode(response.content) == {"result": [1.0, math.inf]}


def test_what_the_plugin_raised_is_told(http):
    document = problem(http.post("/call/probe/fail", json=["too bad"]), 500, "plugin-error")
    traceback = document.pop("traceback")
    assert traceback.startswith("Traceback (most recent call last):\n")
    assert traceback.rstrip().endswith("ValueError: too bad\na note")
    assert document == {
        "type": "urn:pyhost:problem:plugin-error",
        "title": "The plugin's function raised",
        "status": 500,
        "detail": "probe.fail raised ValueError: too bad",
        "instance": "/call/probe/fail",
        "plugin": "probe",
        "function": "fail",
        "exception": "ValueError",
        "message": "too bad",
        "notes": ["a note"],
    }


def test_arguments_that_do_not_fit_are_named(http):
    document = problem(http.post("/call/probe/add", json=[1, "two"]), 422, "invalid-arguments")
    assert document["detail"] == "b is 'two'; allowed: an integer"
    assert (document["plugin"], document["function"], document["parameter"]) == ("probe", "add", "b")
    document = problem(http.post("/call/probe/join", json={"parts": ["!"]}), 422, "invalid-arguments")
    assert document["detail"].startswith("parts[0] is '!'; allowed: base64 text (")


@pytest.mark.parametrize("arguments", [[], [1, 2, 3], {"a": 1, "c": 2}, {"b": 1}])
def test_too_few_and_too_many_arguments_are_the_clients_error(http, arguments):
    document = problem(http.post("/call/probe/add", json=arguments), 422, "invalid-arguments")
    assert "probe.add" in document["detail"]


def test_unknown_plugins_and_functions_come_with_the_known_ones(http):
    document = problem(http.post("/call/prob/add"), 404, "plugin-not-found")
    assert document["detail"] == "there is no plugin 'prob'; did you mean probe?"
    assert document["known"] == ["broken", "narrow", "probe"]
    document = problem(http.post("/call/probe/ad"), 404, "function-not-found")
    assert document["detail"] == "plugin 'probe' exports no function 'ad'; did you mean add?"
    assert "wait_for_ever" in document["known"]
    problem(http.get("/plugins/nope"), 404, "plugin-not-found")


def test_a_plugin_that_does_not_run_is_unavailable(http):
    response = http.post("/call/broken/run")
    document = problem(response, 503, "plugin-unavailable")
    assert document["plugin"] == "broken"
    assert int(response.headers["retry-after"]) > 0


def test_paths_and_methods_that_are_not_there(http):
    document = problem(http.get("/nope"), 404, "not-found")
    assert document["detail"] == "there is nothing at /nope; GET /openapi.json lists what there is"
    response = http.get("/call/probe/add")
    assert problem(response, 405, "method-not-allowed")["detail"] == "/call/probe/add does not take GET; allowed: POST"
    assert response.headers["allow"] == "POST"


def test_the_type_that_curl_names_unasked_is_taken_for_json(http):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert http.post("/call/probe/add", content=b"[1, 2]", headers=headers).json() == {"result": 3}


def test_bodies_of_other_types_are_refused(http):
    response = http.post("/call/probe/echo", content=b"a=1", headers={"Content-Type": "text/plain"})
    problem(response, 415, "unsupported-media-type")
    assert response.headers["accept"] == "application/json, application/msgpack"


@pytest.mark.parametrize("content", [b"[1", b"3", b"\xff"])
def test_bodies_that_cannot_be_read_are_refused(http, content):
    response = http.post("/call/probe/echo", content=content, headers={"Content-Type": "application/json"})
    problem(response, 422, "unreadable-body")


@pytest.mark.parametrize("timeout", ["0", "-1", "nan", "inf", "soon", ""])
def test_a_timeout_is_a_finite_number_above_0(http, timeout):
    document = problem(http.post(f"/call/probe/echo?timeout={timeout}"), 422, "invalid-query")
    assert document["detail"] == f"timeout is {timeout!r}; allowed: a finite number of seconds above 0"


def test_the_query_has_nothing_else(http):
    document = problem(http.post("/call/probe/echo?timeuot=1"), 422, "invalid-query")
    assert document["detail"] == "the query has 'timeuot'; did you mean timeout?; allowed: timeout"


@pytest.mark.parametrize("timeout", ["1e300", "60", "1e-9"])
def test_any_finite_timeout_has_an_answer(http, timeout):
    response = http.post(f"/call/probe/echo?timeout={timeout}", json=[1])
    assert response.status_code in ({200, 504} if timeout == "1e-9" else {200}), response.text


def test_a_call_without_an_answer_in_time(http, gate):
    document = problem(http.post("/call/probe/wait_for_ever?timeout=0.1", json=[gate.path]), 504, "deadline-exceeded")
    assert document["detail"] == "probe.wait_for_ever did not answer by its deadline"


def test_a_full_inbox_says_when_to_try_again(server, gate):
    with server.http() as http, ThreadPoolExecutor(2) as threads:
        held = threads.submit(http.post, "/call/narrow/hold", json=[gate.path])
        gate.wait_entered()
        waiting = threads.submit(http.post, "/call/narrow/hold", json=[gate.path])
        while http.get("/plugins/narrow").json()["queued"] == 0:
            assert not waiting.done(), waiting.result().text
        response = http.post("/call/narrow/echo")
        gate.open(times=2)
        assert [result(call.result()) for call in (held, waiting)] == ["let through", "let through"]
    assert problem(response, 503, "inbox-full")["plugin"] == "narrow"
    assert int(response.headers["retry-after"]) > 0


def test_a_client_that_goes_gives_its_call_up(server, gate):
    def given_up() -> int:
        functions = http.get("/plugins/probe").json()["functions"]
        return next(item["timeouts"] for item in functions if item["name"] == "wait_for_ever")

    with server.http() as http:
        before = given_up()
        body = msgspec.json.encode([gate.path])
        host, port = httpx.URL(server.url).host, httpx.URL(server.url).port
        with socket.create_connection((host, port)) as client:
            client.sendall(
                b"POST /call/probe/wait_for_ever HTTP/1.1\r\nHost: %b:%d\r\nContent-Length: %d\r\n\r\n%b"
                % (host.encode(), port, len(body), body)
            )
            gate.wait_entered()
            assert given_up() == before
        for _ in range(10_000):
            if given_up() > before:
                break
        else:
            pytest.fail("the call was not given up")


def test_bodies_up_to_the_limit_are_taken(start_server, probe_plugins):
    server = start_server(probe_plugins, "--max-body", "1KiB")
    with server.http() as http:
        fits = b'["' + b"x" * 1020 + b'"]'
        assert len(result(http.post("/call/probe/echo", content=fits))) == 1020
        announced = http.post("/call/probe/echo", content=fits + b" ")
        chunked = http.post("/call/probe/echo", content=iter([fits, b" "]))
        for response in (announced, chunked):
            assert problem(response, 413, "body-too-large")["detail"] == (
                "the body is larger than 1024 bytes; the server's --max-body allows no more"
            )
        # The connection is still in step.
        assert result(http.post("/call/probe/echo", json=[1])) == 1


def test_an_announced_length_is_refused_before_the_body_comes(server):
    url = httpx.URL(server.url)
    with socket.create_connection((url.host, url.port), timeout=30) as client:
        client.sendall(
            b"POST /call/probe/echo HTTP/1.1\r\nHost: %b:%d\r\nContent-Length: 100000000\r\n\r\n"
            % (url.host.encode(), url.port)
        )
        assert client.recv(100).startswith(b"HTTP/1.1 413 ")


def test_the_plugins_are_described(http):
    plugins = {plugin["name"]: plugin for plugin in http.get("/plugins").json()["plugins"]}
    assert sorted(plugins) == ["broken", "narrow", "probe"]
    assert plugins["broken"]["state"] == "fatal"
    assert plugins["broken"]["reason"] == "RuntimeError: no luck"
    assert plugins["broken"]["traceback"].startswith("Traceback (most recent call last):\n")
    probe = http.get("/plugins/probe").json()
    assert (probe["state"], probe["version"], probe["reason"]) == ("running", "0", "")
    assert probe["doc"] == "Answers in every way that a call can be answered."
    assert [item["state"] for item in probe["interpreters"]] == ["running"]
    add = next(item for item in probe["functions"] if item["name"] == "add")
    assert add["signature"] == "(a: int, b: int = 1, *, scale: float = 1.0) -> float"
    assert add["doc"] == "Add two numbers.\n\nThe sum is scaled."
    assert add["parameters"][0] == {
        "name": "a",
        "kind": "positional_or_keyword",
        "required": True,
        "default": None,
        "schema": {"type": "integer"},
    }


def test_calls_are_counted_and_timed(http):
    before = http.get("/plugins/narrow").json()
    result(http.post("/call/narrow/add", json=[1]))
    problem(http.post("/call/narrow/fail", json=[""]), 500, "plugin-error")
    after = http.get("/plugins/narrow").json()
    assert after["calls"] == before["calls"] + 1
    assert after["errors"] == before["errors"] + 1
    assert 0 < after["latency"]["p50"] <= after["latency"]["p99"] <= after["latency"]["max"]


def test_the_process_is_described_beside_its_plugins(http):
    process = http.get("/plugins").json()["process"]
    assert process["rss"] > 1 << 20
    assert process["cpu_seconds"] > 0
    assert process["threads"] > 3
    assert process["open_files"] > 3


def test_rates_come_with_the_second_sample(start_server, probe_plugins):
    with start_server(probe_plugins).http() as http:
        while (document := http.get("/plugins/probe").json())["rates"] is None:
            assert len(document["history"]) == 1
            result(http.post("/call/probe/add", json=[1]))
        assert document["rates"]["calls_per_second"] > 0
        assert document["rates"]["errors_per_second"] == 0
        first, second = document["history"]
        assert first["rates"] is None
        assert second["rates"] == document["rates"]
        assert first["age"] > second["age"] >= 0
        assert http.get("/plugins").json()["process"]["cpu_percent"] > 0


def test_the_process_is_healthy_and_not_ready_while_a_plugin_does_not_run(http):
    assert http.get("/healthz").json() == {"status": "ok"}
    document = problem(http.get("/readyz"), 503, "not-ready")
    assert document["detail"] == "not every plugin runs: broken is fatal; GET /plugins says why"
    assert document["plugins"] == {"broken": "fatal"}
    assert document["draining"] is False


def test_a_server_whose_plugins_all_run_is_ready(start_server, probe_plugins):
    with start_server(probe_plugins / "narrow").http() as http:
        assert http.get("/readyz").json() == {"status": "ready"}


def test_the_metrics_are_prometheus_text(http):
    result(http.post("/call/probe/add", json=[1]))
    response = http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(response.text)}
    up = {sample.labels["plugin"]: sample.value for sample in families["pyhost_plugin_up"].samples}
    assert up == {"broken": 0, "narrow": 1, "probe": 1}
    calls = {
        (sample.labels["plugin"], sample.labels["function"], sample.labels["outcome"]): sample.value
        for sample in families["pyhost_calls"].samples
    }
    assert calls["probe", "add", "ok"] >= 1
    assert families["pyhost_call_duration_seconds"].type == "histogram"
    assert "process_resident_memory_bytes" in families


def test_the_openapi_document_describes_the_plugins(http):
    document = http.get("/openapi.json").json()
    operation = document["paths"]["/call/probe/add"]["post"]
    array, keywords = operation["requestBody"]["content"]["application/json"]["schema"]["anyOf"]
    assert array["prefixItems"] == [{"type": "integer"}, {"type": "integer"}]
    assert keywords["properties"]["scale"] == {"type": "number"}
    assert keywords["required"] == ["a"]
    validator = pytest.importorskip("openapi_spec_validator")
    validator.validate(document, cls=validator.OpenAPIV31SpecValidator)


def test_no_web_page_of_elsewhere_may_call(http):
    problem(http.post("/call/probe/echo", headers={"Origin": "http://evil.example"}), 403, "forbidden")
    problem(http.post("/call/probe/echo", headers={"Host": "evil.example"}), 421, "wrong-host")
    assert result(http.post("/call/probe/echo", headers={"Origin": str(http.base_url).rstrip("/")})) is None


def test_the_unix_socket_trusts_its_user(unix):
    headers = {"Origin": "http://evil.example", "Host": "evil.example"}
    assert result(unix.post("/call/probe/add", json=[1], headers=headers)) == 2


def test_changing_the_server_is_not_for_bare_tcp(http, unix):
    document = problem(http.post("/rescan"), 403, "forbidden")
    assert document["detail"] == (
        "over TCP without a token nothing of the server can be changed; send the request to the Unix socket, "
        "or start the server with --token-file"
    )
    assert unix.post("/rescan").json() == {
        "loaded": [],
        "replaced": [],
        "removed": [],
        "failed": ["broken"],
        "unchanged": ["narrow", "probe"],
    }


def test_one_plugin_is_changed_over_the_unix_socket_only(start_server, probe_plugins):
    server = start_server(probe_plugins)
    with server.http() as http, server.unix() as unix:
        for action in ("reload", "restart", "stop", "start", "drain", "start"):
            problem(http.post(f"/plugins/probe/{action}"), 403, "forbidden")
            answer = unix.post(f"/plugins/probe/{action}").json()
            assert (answer["action"], answer["plugin"]["name"]) == (action, "probe")
            assert answer["plugin"]["state"] == ("stopped" if action in {"stop", "drain"} else "running")
            assert answer["seconds"] > 0
        assert result(unix.post("/call/probe/add", json=[1])) == 2
        document = problem(unix.post("/plugins/broken/reload"), 409, "load-failed")
        assert document["detail"].startswith("plugin 'broken' did not start: ")
        assert "Traceback" in document["traceback"]
        assert problem(unix.post("/plugins/prob/reload"), 404, "plugin-not-found")["detail"].endswith(
            "did you mean probe?"
        )
        problem(unix.post("/plugins/probe/explode"), 404, "not-found")


def test_draining_gives_calls_up_after_its_timeout(start_server, probe_plugins, gate):
    server = start_server(probe_plugins)
    with server.http() as http, server.unix() as unix, ThreadPoolExecutor(1) as pool:
        held = pool.submit(http.post, "/call/probe/wait_for_ever", json=[gate.path])
        gate.wait_entered()
        problem(unix.post("/plugins/probe/drain?timeout=never"), 422, "invalid-query")
        assert unix.post("/plugins/probe/drain?timeout=0.05").json()["plugin"]["state"] == "stopped"
        problem(held.result(), 503, "call-cancelled")


def test_what_has_happened_to_a_plugin_is_told(http):
    broken = http.get("/plugins/broken").json()
    assert {name: broken[name] for name in ("restarts", "restarts_total", "intensity", "next_start", "lost")} == {
        "restarts": 0,
        "restarts_total": 0,
        "intensity": 5,
        "next_start": None,
        "lost": 0,
    }
    assert [entry["text"] for entry in broken["timeline"][:2]] == [
        "did not start: RuntimeError: no luck",
        "fatal: RuntimeError: no luck",
    ]
    assert all(time.time() - entry["time"] >= 0 for entry in broken["timeline"])


def test_a_failure_of_the_server_itself_is_a_problem_too(probe_plugins, tmp_path, monkeypatch):
    def fail(_status, _rates):
        raise RuntimeError("a secret of the server")

    async def ask(host: pyhost.Host) -> httpx.Response:
        options = Options(plugins=probe_plugins, socket=tmp_path / "unused.sock")
        app = create_app(host, options, Monitor(host), trusted=True)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get("/plugins")

    monkeypatch.setattr(views, "plugin", fail)
    with pyhost.Host(probe_plugins) as host:
        response = asyncio.run(ask(host))
    assert problem(response, 500, "internal-error")["detail"] == "the server itself failed; its log says where"
    assert "secret" not in response.text


def test_with_a_token_everything_on_tcp_needs_it_but_the_probes(start_server, probe_plugins, tmp_path):
    token_file = tmp_path / "token"
    token_file.touch(mode=0o600)
    token_file.write_text("correct-horse-battery\n")
    server = start_server(probe_plugins, "--token-file", str(token_file))
    with server.http() as http:
        for response in (http.post("/call/probe/echo"), http.get("/plugins"), http.post("/rescan"), http.get("/nope")):
            assert problem(response, 401, "unauthorized")["detail"] == (
                "the request shows no token; send the header Authorization: Bearer TOKEN"
            )
            assert response.headers["www-authenticate"] == 'Bearer realm="pyhost"'
        problem(http.get("/plugins", headers={"Authorization": "Bearer wrong"}), 401, "unauthorized")
        assert http.get("/healthz").status_code == 200
        assert http.get("/readyz").status_code == 503
    with server.http(headers={"Authorization": "Bearer correct-horse-battery"}) as http:
        elsewhere = {"Host": "pyhost.example", "Origin": "http://page.example"}
        assert result(http.post("/call/probe/add", json=[1], headers=elsewhere)) == 2
        assert http.post("/rescan").json()["failed"] == ["broken"]
    with server.unix() as unix:
        assert result(unix.post("/call/probe/add", json=[1])) == 2
