"""STAND-IN: a request of `LLM`."""


class GenerationRequest:
    def __init__(self, prompt_token_ids, sampling_params, lora_request=None, streaming=False):
        assert isinstance(prompt_token_ids, list)
        self.prompt_token_ids = prompt_token_ids
        self.sampling_params = sampling_params
        self.streaming = streaming
        self.id = None

    def set_id(self, id):
        assert self.id is None
        self.id = id
        return self
