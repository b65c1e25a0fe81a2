"""Does Triton's own Python client get along with `bareflight serve`? Arguments: host and port, and the API key."""

import queue
import sys

import numpy
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException

url, key = sys.argv[1:]
headers = {"authorization": f"Bearer {key}"}
client = grpc.InferenceServerClient(url)

# What is there?
assert client.is_server_live(headers=headers) and client.is_server_ready(headers=headers)
assert client.is_model_ready("tensorrt_llm", headers=headers) and client.is_model_ready("ensemble", "1", headers=headers)
assert not client.is_model_ready("resnet50", headers=headers)
assert client.get_server_metadata(headers=headers).name == "bareflight"
metadata = client.get_model_metadata("tensorrt_llm", headers=headers)
assert {"input_ids", "input_lengths", "request_output_len"} <= {tensor.name for tensor in metadata.inputs}
assert client.get_model_config("ensemble", headers=headers).config.model_transaction_policy.decoupled
index = client.get_model_repository_index(headers=headers).models
assert {(model.name, model.version, model.state) for model in index} == {("ensemble", "1", "READY"), ("tensorrt_llm", "1", "READY")}, index


def tensor(name, values, kind, dtype):
    array = numpy.array([values], dtype=dtype)
    made = grpc.InferInput(name, array.shape, kind)
    made.set_data_from_numpy(array)
    return made


def ids_inputs(prompt, tokens, streaming):
    return [
        tensor("input_ids", prompt, "INT32", numpy.int32),
        tensor("input_lengths", [len(prompt)], "INT32", numpy.int32),
        tensor("request_output_len", [tokens], "INT32", numpy.int32),
        tensor("streaming", [streaming], "BOOL", bool),
        tensor("exclude_input_in_output", [True], "BOOL", bool),
        tensor("return_perf_metrics", [True], "BOOL", bool),
    ]


def text_inputs(text, tokens, streaming, exclude=True):
    return [
        tensor("text_input", [text.encode()], "BYTES", numpy.object_),
        tensor("max_tokens", [tokens], "INT32", numpy.int32),
        tensor("end_id", [-1], "INT32", numpy.int32),
        tensor("stream", [streaming], "BOOL", bool),
        tensor("exclude_input_in_output", [exclude], "BOOL", bool),
    ]


def streamed(model, inputs, ask_for_final=True):
    """All responses to one request."""
    answers = queue.Queue()
    with grpc.InferenceServerClient(url) as of_stream:
        of_stream.start_stream(callback=lambda result, error: answers.put((result, error)), headers=headers)
        of_stream.async_stream_infer(model, inputs, request_id="7", enable_empty_final_response=ask_for_final)
        seen = []
        while True:
            result, error = answers.get(timeout=120)
            if error is not None:
                raise error
            response = result.get_response()
            assert response.id == "7"
            seen.append(result)
            if response.parameters["triton_final_response"].bool_param:
                return seen


def ids_of(results):
    return [int(one) for result in results for one in result.as_numpy("output_ids")[0, 0, : result.as_numpy("sequence_length")[0, 0]]]


# Ids in, ids out: streamed with and without asking for the last empty response, and at once.
for ask_for_final in (True, False):
    seen = streamed("tensorrt_llm", ids_inputs([3, 4, 5], 6, True), ask_for_final)
    assert len(ids_of(seen)) == 6 and len(seen) in (6, 7), len(seen)
stamps = [int(seen[-1].as_numpy(name)[0, 0]) for name in ("arrival_time_ns", "first_scheduled_time_ns", "first_token_time_ns", "last_token_time_ns")]
assert stamps == sorted(stamps) and stamps[0] > 0, stamps
at_once = client.infer("tensorrt_llm", ids_inputs([3, 4, 5], 6, False), headers=headers)
assert ids_of([at_once]) == ids_of(seen)

# Text in, text out.
seen = streamed("ensemble", text_inputs("w0003 w0004", 5, True))
pieces = [result.as_numpy("text_output")[0, 0].decode() for result in seen if result.as_numpy("text_output").size]
text = "".join(pieces)
assert len(text.split()) == 5, pieces
at_once = client.infer("ensemble", text_inputs("w0003 w0004", 5, False, exclude=False), headers=headers)
assert at_once.as_numpy("text_output")[0, 0].decode() == "w0003 w0004" + text

# Each refusal says what is wrong.
def refused(words, action):
    try:
        action()
    except InferenceServerException as error:
        assert words in error.message(), error
        return
    raise AssertionError(f"nothing said {words}")

refused("unexpected inference input 'beams'", lambda: streamed("tensorrt_llm", ids_inputs([1], 2, True) + [tensor("beams", [1], "INT32", numpy.int32)]))
refused("unknown model", lambda: streamed("resnet50", ids_inputs([1], 2, True)))
refused("'max_tokens' for model 'ensemble' is missing", lambda: client.infer("ensemble", text_inputs("w0001", 2, False)[:1], headers=headers))
refused("API key", lambda: client.is_server_ready())
print("tritonclient gets along")
