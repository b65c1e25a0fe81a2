"""A timed source of tokens behind Triton's Python backend: what a language model's server sends, without the model.

One file for all flavours; the config parameter `flavour` chooses. Token k of an answer is (sum of prompt ids + k) mod
1000 + 3, and reads " w<id>", so that a client can know every token beforehand. Request parameters `ttft_ms`, `itl_ms`,
`tokens_per_response`, `stop_after`, `fail_after` override the model's own timing for one request.
"""
import json
import os
import threading
import time

import numpy as np
import triton_python_backend_utils as pb

FINAL = pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL


def word(token):
    return " w%d" % token


def ids_of(text):
    """Each word is one id: its number if it is one, else its length."""
    return [int(w) if w.isdigit() else len(w) for w in text.split()]


class Request:
    """Inputs of one request, whatever they are called."""

    def __init__(self, request, defaults):
        self.request = request
        own = json.loads(request.parameters() or "{}")
        self.settings = {**defaults, **own}

    def array(self, *names):
        for name in names:
            tensor = pb.get_input_tensor_by_name(self.request, name)
            if tensor is not None:
                return tensor.as_numpy().reshape(-1)
        return None

    def scalar(self, default, *names):
        found = self.array(*names)
        return default if found is None or not found.size else found[0].item()

    def text(self, *names):
        return self.array(*names)[0].decode()

    def setting(self, name, default):
        return float(self.settings.get(name, default))

    def wants(self, name):
        return name in self.request.requested_output_names()


class TritonPythonModel:
    def initialize(self, args):
        parameters = json.loads(args["model_config"])["parameters"]
        self.settings = {key: value["string_value"] for key, value in parameters.items()}
        self.flavour = self.settings["flavour"]

    def execute(self, requests):
        if self.flavour in ("preprocessing", "postprocessing", "unary"):
            return [getattr(self, self.flavour)(Request(r, self.settings)) for r in requests]
        for r in requests:
            threading.Thread(target=self.answer, args=(Request(r, self.settings),), daemon=True).start()
        return None

    def preprocessing(self, r):
        ids = np.array([ids_of(r.text("QUERY"))], np.int32)
        length = np.array([[ids.shape[1]]], np.int32)
        return pb.InferenceResponse([pb.Tensor("INPUT_ID", ids), pb.Tensor("REQUEST_INPUT_LEN", length)])

    def postprocessing(self, r):
        count = int(r.scalar(0, "SEQUENCE_LENGTH"))
        text = "".join(word(t) for t in r.array("TOKENS_BATCH")[:count])
        return pb.InferenceResponse([pb.Tensor("OUTPUT", np.array([[text.encode()]], np.object_))])

    def unary(self, r):
        prompt = r.array("input_ids")
        tokens = self.tokens(prompt, int(r.scalar(1, "request_output_len")))
        time.sleep((r.setting("ttft_ms", 0) + r.setting("itl_ms", 0) * (len(tokens) - 1)) / 1e3)
        out = np.concatenate([prompt, tokens]) if r.settings.get("echo") == "true" else np.array(tokens)
        return pb.InferenceResponse([
            pb.Tensor("output_ids", out.reshape(1, 1, -1).astype(np.int32)),
            pb.Tensor("sequence_length", np.array([[out.size]], np.int32))])

    @staticmethod
    def tokens(prompt, count):
        base = int(sum(int(i) for i in prompt))
        return [(base + k) % 1000 + 3 for k in range(count)]

    def answer(self, r):
        sender = r.request.get_response_sender()
        try:
            self.stream(r, sender)
        except Exception as error:
            sender.send(pb.InferenceResponse(error=pb.TritonError(str(error))), flags=FINAL)

    def stream(self, r, sender):
        arrival = time.monotonic_ns()
        prompt, count = self.question(r)
        tokens = self.tokens(prompt, min(count, int(r.setting("stop_after", count))))
        step = int(r.setting("tokens_per_response", 1)) if r.scalar(False, "streaming", "stream") else len(tokens)
        stamps = [arrival, time.monotonic_ns(), 0, 0]
        due = time.monotonic() + r.setting("ttft_ms", 0) / 1e3
        for start in range(0, len(tokens), step):
            time.sleep(max(0.0, due - time.monotonic()))
            if sender.is_cancelled():
                with open(os.environ["BAREFLIGHT_CANCELLED"], "a") as log:
                    log.write(r.request.request_id() + "\n")
                sender.send(flags=FINAL)
                return
            if 0 <= r.setting("fail_after", -1) <= start:
                raise RuntimeError("the model failed after %d tokens" % start)
            stamps[3] = time.monotonic_ns()
            stamps[2] = stamps[2] or stamps[3]
            end = min(start + step, len(tokens))
            outputs = self.outputs(r, tokens, start, end, stamps)
            last = end == len(tokens) and self.settings.get("final") != "empty"
            sender.send(pb.InferenceResponse(outputs), flags=FINAL if last else 0)
            due += r.setting("itl_ms", 0) / 1e3 * (end - start)
        if self.settings.get("final") == "empty":
            sender.send(flags=FINAL)

    def question(self, r):
        """Prompt ids and the number of tokens that are asked for."""
        if self.flavour == "engine":
            return r.array("input_ids"), int(r.scalar(1, "request_output_len"))
        prompt = ids_of(r.text("text_input"))
        if self.flavour == "vllm":
            return prompt, int(json.loads(r.text("sampling_parameters"))["max_tokens"])
        return prompt, int(r.scalar(16, "max_tokens", "sampling_param_max_tokens"))

    def outputs(self, r, tokens, start, end, stamps):
        if self.flavour == "engine":
            made = {"output_ids": np.array(tokens[start:end], np.int32).reshape(1, 1, -1),
                    "sequence_length": np.array([[end - start]], np.int32)}
            if r.scalar(False, "return_perf_metrics"):
                names = ("arrival_time_ns", "first_scheduled_time_ns", "first_token_time_ns", "last_token_time_ns")
                made.update({name: np.array([[at]], np.int64) for name, at in zip(names, stamps)})
        else:
            so_far = self.settings.get("accumulate_tokens") == "true"
            text = "".join(word(t) for t in tokens[0 if so_far else start:end])
            if r.settings.get("echo") == "true":
                text = r.text("text_input") + text
            made = {"text_output": np.array([text.encode()], np.object_),
                    "num_output_tokens": np.array([end - start], np.uint32),
                    "finish_reason": np.array([b"length" if end == len(tokens) else b"None"], np.object_)}
            if self.flavour == "bls":
                made["text_output"] = made["text_output"].reshape(1, 1)
        return [pb.Tensor(name, value) for name, value in made.items() if r.wants(name)]
