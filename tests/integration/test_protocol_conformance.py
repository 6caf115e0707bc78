"""A real model server held to the Open Inference Protocol, REST and gRPC, and to its own OpenAPI.

Cases: kserve/open-inference-protocol, `specification/protocol/inference_rest.md` and
`inference_grpc.md`. Generated requests: `tests.protocol_requests`; many more of them in
`make bench-conformance`.
"""

from __future__ import annotations

import datetime
import json
import signal
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import schemathesis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

from serving.predictor import messages as pb
from serving.tokens import TOKENS
from tests.capitals_process import VERSION, Running, running, started
from tests.protocol_requests import (
    ACCEPTANCE,
    CHECKS,
    Call,
    grpc_calls,
    is_handled,
    is_handled_code,
    rest_cases,
)
from tests.stand_ins.data_plane import wait_for

pytestmark = pytest.mark.services
SECRET = "my secret words"
EVENT = json.dumps({"event_id": "e1", "text": "ALL caps"})
TOKEN = "a-token-of-the-tests-0123456789"
V1, V2 = "/v1/models/spam:predict", "/v2/models/spam/infer"
BODY = {"inputs": [{"name": "event", "shape": [1], "datatype": "BYTES", "data": [EVENT]}]}
FEW = settings(
    max_examples=12, database=None, deadline=None, derandomize=True, phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("server"), WEIR__SERVING__GRPC_PORT="0") as found:
        yield found


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=20) as connected:
        yield connected


@pytest.fixture(scope="module")
def channel(server: Running) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(str(server.grpc)) as connected:
        yield connected


def ask(
    channel: grpc.Channel, method: str, request: Any = None, timeout: float = 20, **metadata: str
) -> Any:
    """The answer of one call, by the messages that the protocol gives it."""
    made = request if request is not None else getattr(pb, f"{method}Request")()
    call = channel.unary_unary(
        f"/inference.GRPCInferenceService/{method}",
        request_serializer=lambda one: one.SerializeToString(),
        response_deserializer=getattr(pb, f"{method}Response").FromString,
    )
    headers = tuple((name.replace("_", "-"), value) for name, value in metadata.items())
    return call(made, timeout=timeout, metadata=headers)


def refusal(channel: grpc.Channel, method: str, request: Any = None, **more: Any) -> Any:
    with pytest.raises(grpc.RpcError) as raised:
        ask(channel, method, request, **more)
    return raised.value


def infer(*events: str, raw: bool = False, **changes: Any) -> Any:
    request = pb.ModelInferRequest(**{"model_name": "spam", **changes})
    tensor = request.inputs.add(name="event", datatype="BYTES", shape=[len(events)])
    if raw:
        packed = (len(one).to_bytes(4, "little") + one for one in map(str.encode, events))
        request.raw_input_contents.append(b"".join(packed))
    else:
        tensor.contents.bytes_contents.extend(one.encode() for one in events)
    return request


ANSWERED = {
    "server live": ("/v2/health/live", {"live": True}),
    "server ready": ("/v2/health/ready", {"ready": True}),
    "model ready": ("/v2/models/spam/ready", {"name": "spam", "ready": True}),
    "version ready": (f"/v2/models/spam/versions/{VERSION}/ready", {"name": "spam", "ready": True}),
    "V1 model ready": ("/v1/models/spam", {"name": "spam", "ready": True}),
    "V1 models": ("/v1/models", {"models": ["spam"]}),
}


@pytest.mark.parametrize("case", ANSWERED)
def test_rest_answers_as_the_protocol_says(client: httpx.Client, case: str) -> None:
    path, expected = ANSWERED[case]
    answer = client.get(path)
    assert (answer.status_code, answer.json()) == (200, expected)


@pytest.mark.parametrize("path", ["/v2/models/spam", f"/v2/models/spam/versions/{VERSION}"])
def test_rest_metadata_names_the_tensors_with_and_without_a_version(
    client: httpx.Client, path: str
) -> None:
    found = client.get(path).json()
    assert found["inputs"] == [{"name": "event", "datatype": "BYTES", "shape": [-1]}]
    assert [one["name"] for one in found["outputs"]] == ["score", "action", "verdict"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/models/ham"),
        ("GET", "/v2/models/ham/ready"),
        ("GET", "/v2/models/ham/versions/7"),
        ("GET", "/v2/models/spam/versions/8"),
        ("GET", "/v2/models/spam/versions/8/ready"),
        ("GET", "/v1/models/ham"),
        ("POST", "/v2/models/ham/infer"),
        ("POST", "/v2/models/spam/versions/8/infer"),
        ("POST", "/v1/models/ham:predict"),
        ("POST", "/v2/repository/models/ham/load"),
        ("POST", "/v2/repository/models/ham/unload"),
    ],
)
def test_rest_answers_404_with_an_error_to_a_model_or_version_that_is_not_here(
    client: httpx.Client, method: str, path: str
) -> None:
    answer = client.request(method, path, json=BODY if method == "POST" else None)
    assert answer.status_code == 404
    assert list(answer.json()) == ["error"]


def test_rest_infer_echoes_id_and_names_model_version_and_outputs(client: httpx.Client) -> None:
    answer = client.post(V2, json={**BODY, "id": "r1"}).json()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("r1", "spam", VERSION)
    shapes = {one["name"]: (one["datatype"], one["shape"]) for one in answer["outputs"]}
    assert shapes == {
        "score": ("FP64", [1]), "action": ("BYTES", [1]), "verdict": ("BYTES", [1]),
    }  # fmt: skip


def test_grpc_tells_of_server_and_model(channel: grpc.Channel) -> None:
    assert ask(channel, "ServerLive").live
    assert ask(channel, "ServerReady").ready
    assert ask(channel, "ModelReady", pb.ModelReadyRequest(name="spam")).ready
    assert ask(channel, "ModelReady", pb.ModelReadyRequest(name="spam", version=VERSION)).ready
    assert list(ask(channel, "ServerMetadata").extensions) == ["model_repository_extension"]
    model = ask(channel, "ModelMetadata", pb.ModelMetadataRequest(name="spam"))
    assert [(one.name, one.datatype, list(one.shape)) for one in model.inputs] == [
        ("event", "BYTES", [-1])
    ]
    assert [one.name for one in model.outputs] == ["score", "action", "verdict"]


@pytest.mark.parametrize("raw", [False, True])
def test_grpc_gives_the_verdicts_that_rest_gives(
    client: httpx.Client, channel: grpc.Channel, raw: bool
) -> None:
    events = [json.dumps({"event_id": f"e{n}", "text": "A" * n + "b" * 5}) for n in range(1, 6)]
    tensor = {**BODY["inputs"][0], "shape": [5], "data": events}
    rest = {
        one["name"]: one["data"]
        for one in client.post(V2, json={"inputs": [tensor]}).json()["outputs"]
    }
    answer = ask(channel, "ModelInfer", infer(*events, raw=raw, id="r1", model_version=VERSION))
    rpc = {one.name: one.contents for one in answer.outputs}
    assert (answer.id, answer.model_name, answer.model_version) == ("r1", "spam", VERSION)
    assert list(rpc["score"].fp64_contents) == rest["score"]
    for name in ("action", "verdict"):
        assert [one.decode() for one in rpc[name].bytes_contents] == rest[name]


def test_grpc_says_in_trailing_metadata_which_arm_and_version_answered(
    channel: grpc.Channel,
) -> None:
    call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    _, done = call.with_call(infer(EVENT).SerializeToString(), metadata=(("x-weir-arm", "canary"),))
    said = dict(done.trailing_metadata())
    assert (said["x-weir-arm"], said["x-weir-model-version"]) == ("canary", VERSION)


REFUSED: dict[str, tuple[Any, dict[str, str], str, str]] = {
    "no tensor": (pb.ModelInferRequest(model_name="spam"), {}, "INVALID_ARGUMENT", "one tensor"),
    "an unknown model": (infer(EVENT, model_name="ham"), {}, "NOT_FOUND", "ask for 'spam'"),
    "an unknown version": (infer(EVENT, model_version="8"), {}, "NOT_FOUND", "ask for '7'"),
    "no event": (infer(), {}, "INVALID_ARGUMENT", "inputs[0].data is empty"),
    "no JSON": (infer(SECRET), {}, "INVALID_ARGUMENT", "line = '15 bytes': not JSON"),
    "257 events": (infer(*[EVENT] * 257), {}, "INVALID_ARGUMENT", "at most 256"),
    "a class": (infer(EVENT), {"x_weir_priority": "now"}, "INVALID_ARGUMENT", "x-weir-priority"),
    "an arm": (infer(EVENT), {"x_weir_arm": "green"}, "INVALID_ARGUMENT", "x-weir-arm is 'green'"),
    "a deadline": (
        infer(EVENT), {"x_weir_deadline_milliseconds": "0"}, "INVALID_ARGUMENT", "above 0",
    ),
    "too long": (infer("x" * 2_000_000), {}, "RESOURCE_EXHAUSTED", "larger than max"),
    "a failing model": (
        infer(json.dumps({"event_id": "e", "text": f"broken {SECRET}"})), {}, "INTERNAL",
        "the model failed (RuntimeError)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_grpc_refuses_with_the_right_code_the_cause_and_without_the_text(
    server: Running, channel: grpc.Channel, case: str
) -> None:
    request, metadata, code, message = REFUSED[case]
    problem = refusal(channel, "ModelInfer", request, **metadata)
    assert (problem.code().name, message in problem.details()) == (code, True), problem.details()
    assert SECRET not in problem.details() + server.log.read_text()


def test_grpc_answers_not_found_to_a_model_or_version_that_is_not_here(
    channel: grpc.Channel,
) -> None:
    for method, request in (
        ("ModelReady", pb.ModelReadyRequest(name="ham")),
        ("ModelReady", pb.ModelReadyRequest(name="spam", version="8")),
        ("ModelMetadata", pb.ModelMetadataRequest(name="ham")),
        ("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="ham")),
        ("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name="ham")),
    ):
        assert refusal(channel, method, request).code() == grpc.StatusCode.NOT_FOUND, method


def test_bytes_that_are_no_message_are_an_invalid_argument(channel: grpc.Channel) -> None:
    call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    with pytest.raises(grpc.RpcError) as raised:
        call(b"\xff\xff")
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_an_unloaded_model_is_unavailable_in_both_protocols_until_it_is_loaded(
    client: httpx.Client, channel: grpc.Channel
) -> None:
    unload = pb.RepositoryModelUnloadRequest(model_name="spam")
    assert ask(channel, "RepositoryModelUnload", unload).isUnloaded
    try:
        assert refusal(channel, "ModelInfer", infer(EVENT)).code() == grpc.StatusCode.UNAVAILABLE
        assert not ask(channel, "ModelReady", pb.ModelReadyRequest(name="spam")).ready
        assert client.post(V2, json=BODY).status_code == 503
    finally:
        load = pb.RepositoryModelLoadRequest(model_name="spam")
        assert ask(channel, "RepositoryModelLoad", load).isLoaded
    assert ask(channel, "ModelInfer", infer(EVENT)).outputs


def test_a_call_whose_deadline_passes_is_given_up_by_the_server_too(
    client: httpx.Client, channel: grpc.Channel
) -> None:
    slow = infer(json.dumps({"event_id": "e", "text": "slow"}))
    problem = refusal(channel, "ModelInfer", slow, timeout=0.3)
    assert problem.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    given_up = (
        'weir_requests_total{arm="stable",class="normal",protocol="grpc",status="disconnected"} 1'
    )
    wait_for(lambda: given_up in client.get("/metrics").text, "given up by the server", 20)


def test_grpc_requests_are_counted(client: httpx.Client, channel: grpc.Channel) -> None:
    refusal(channel, "ModelInfer", infer(), x_weir_priority="bulk")
    ask(channel, "ModelInfer", infer(EVENT), x_weir_priority="interactive")
    shown = client.get("/metrics").text
    for priority, status in (("interactive", 200), ("bulk", 400)):
        assert (
            f'weir_requests_total{{arm="stable",class="{priority}",protocol="grpc",status="{status}"}}'
            in shown
        )


@pytest.fixture(scope="module")
def operations(client: httpx.Client) -> dict[str, Any]:
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    found = [one.ok() for one in schema.get_all_operations()]
    return {f"{one.method.upper()} {one.path}": one for one in found}


GENERATED = [
    (name, mode)
    for name in (
        "POST /v1/models/{model_name}:predict",
        "POST /v2/models/{model_name}/infer",
        "POST /v2/repository/models/{model_name}/load",
        "GET /v2/models/{model_name}",
    )
    for mode in ACCEPTANCE
] + [("GET /metrics", GenerationMode.POSITIVE)]  # takes nothing, and cannot be asked wrongly


@pytest.mark.parametrize(("name", "mode"), GENERATED, ids=str)
def test_generated_requests_are_answered_as_the_openapi_document_says(
    server: Running, operations: dict[str, Any], name: str, mode: GenerationMode
) -> None:
    operation = operations[name]
    statuses = set()

    @FEW
    @given(case=rest_cases(operation, mode, VERSION))
    def ask_it(case: Any) -> None:
        answer = case.call(base_url=server.url, timeout=20)
        headers = {key.lower(): values[0] for key, values in answer.headers.items()}
        assert is_handled(answer.status_code, headers, answer.content), answer.text
        case.validate_response(answer, checks=[*CHECKS, ACCEPTANCE[mode]])
        statuses.add(answer.status_code)

    ask_it()
    assert statuses


def test_generated_grpc_calls_end_with_an_answer_or_a_code_that_says_why(
    channel: grpc.Channel,
) -> None:
    codes = set()

    @settings(FEW, max_examples=60)
    @given(call=grpc_calls(VERSION))
    def ask_it(call: Call) -> None:
        path = f"/inference.GRPCInferenceService/{call.method}"
        code = grpc.StatusCode.OK
        try:
            channel.unary_unary(path)(call.payload, metadata=call.metadata, timeout=20)
        except grpc.RpcError as error:
            code = error.code()
        assert is_handled_code(code)
        codes.add(code)

    ask_it()
    assert {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT} <= codes


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate of 127.0.0.1 and its key, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "weir test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )  # fmt: skip
    return paths


def test_tls_and_tokens_hold_for_rest_and_grpc(tmp_path: Path) -> None:
    public, private = certificate(tmp_path)
    variables = {
        "WEIR__SERVING__GRPC_PORT": "0",
        "WEIR__SERVING__AUTHENTICATION": "tokens",
        TOKENS: TOKEN,
        "WEIR__SERVING__TLS__CERTIFICATE": str(public),
        "WEIR__SERVING__TLS__KEY": str(private),
    }
    with running(tmp_path, **variables) as server:
        assert server.url.startswith("https://")
        bearer = {"authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=server.url, verify=str(public), timeout=20) as client:
            assert client.get("/v2/health/ready").status_code == 200
            refused = client.post(V2, json=BODY)
            assert (refused.status_code, "error" in refused.json()) == (401, True)
            assert refused.headers["www-authenticate"] == 'Bearer realm="weir"'
            assert client.post(V2, json=BODY, headers=bearer).status_code == 200
            unload = "/v2/repository/models/spam/unload"
            assert client.post(unload).status_code == 401
        credentials = grpc.ssl_channel_credentials(public.read_bytes())
        with grpc.secure_channel(str(server.grpc), credentials) as channel:
            assert ask(channel, "ServerReady").ready
            for method, request in (
                ("ModelInfer", infer(EVENT)),
                ("ServerMetadata", None),
                ("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name="spam")),
            ):
                problem = refusal(channel, method, request)
                assert problem.code() == grpc.StatusCode.UNAUTHENTICATED
            assert ask(channel, "ModelInfer", infer(EVENT), **bearer).outputs
        server.process.send_signal(signal.SIGTERM)
        output, _ = server.process.communicate(timeout=20)
        assert (server.process.returncode, "'decisions': 2" in output) == (0, True)
        assert TOKEN not in server.log.read_text()


def test_a_server_that_others_can_reach_does_not_start_without_authentication(
    tmp_path: Path,
) -> None:
    process, log, _ = started(tmp_path, WEIR__SERVING__HOST="0.0.0.0")  # noqa: S104
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert "serving.authentication is none: anyone could ask" in log.read_text()
