"""Does OpenAI's own Python package get along with `bareflight serve`? Arguments: its base URL, its model's name, its key."""

import sys

import openai

url, model, key = sys.argv[1:]
client = openai.OpenAI(base_url=url + "/v1", api_key=key, max_retries=0)
told = {"ignore_eos": True}

# Which models are there?
assert [one.id for one in client.models.list()] == [model]
assert client.models.retrieve(model).owned_by == "bareflight"

# A chat at once.
messages = [{"role": "system", "content": "w0001"}, {"role": "user", "content": [{"type": "text", "text": "w0002 w0003"}]}]
chat = client.chat.completions.create(model=model, messages=messages, max_completion_tokens=5, temperature=0, extra_body=told)
assert chat.object == "chat.completion" and chat.model == model
assert chat.choices[0].message.role == "assistant" and chat.choices[0].finish_reason == "length"
assert len(chat.choices[0].message.content.split()) == 5, chat
assert (chat.usage.prompt_tokens, chat.usage.completion_tokens, chat.usage.total_tokens) == (3, 5, 8)

# The same, streamed: one word a chunk, the same words.
stream = client.chat.completions.create(
    model=model, messages=messages, max_completion_tokens=5, temperature=0, stream=True,
    stream_options={"include_usage": True}, extra_body=told,
)
chunks = list(stream)
assert all(chunk.object == "chat.completion.chunk" and chunk.id == chunks[0].id for chunk in chunks)
words = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
assert len(words) == 5 and "".join(words) == chat.choices[0].message.content, words
assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices] == [None] * 4 + ["length"]
assert chunks[0].choices[0].delta.role == "assistant"
assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 5
timing = chunks[-2].model_extra["x-bareflight-timing"]
assert timing["arrival"] <= timing["first_scheduled"] < timing["first_token"] < timing["last_token"], timing

# Completions of a text and of the same text's ids are the same.
ask = {"model": model, "max_tokens": 4, "temperature": 0, "extra_body": told}
of_text = client.completions.create(prompt="w0004 w0005", **ask)
of_ids = client.completions.create(prompt=[4, 5], **ask)
assert of_text.choices[0].text == of_ids.choices[0].text
assert of_text.usage == of_ids.usage and of_text.usage.prompt_tokens == 2

# Leaving a stream early is fine for everyone.
with client.completions.create(prompt=[1], stream=True, **{**ask, "max_tokens": 200}) as stream:
    next(iter(stream))

# Each refusal is the exception that it should be, and names its field.
def refused(exception, field, **change):
    try:
        client.completions.create(**{"prompt": [1], **ask, **change})
    except exception as error:
        assert error.param == field and error.message, error
        return
    raise AssertionError(f"{change} was taken")

refused(openai.NotFoundError, "model", model="gpt-5")
refused(openai.BadRequestError, "n", n=2)
refused(openai.BadRequestError, "stop", stop="x")
refused(openai.BadRequestError, "max_tokens", max_tokens=10**9)
refused(openai.BadRequestError, "prompt", prompt=[10**9])
client.api_key = "wrong"
refused(openai.AuthenticationError, None)
print("openai", openai.__version__, "gets along")
