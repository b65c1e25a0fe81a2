"""A tiny model with random weights as a GGUF file, written with nothing but Python's own library; always the same file: a
Llama, or a Qwen3 with a head that scores documents.

Each word of the vocabulary is one token, and the output layer is zero for everything that is no word: every token that
the model gives is a word, and it ends by itself only where a request makes it (`logit_bias`).

With `characters` a word is one character, and one token with whatever blank is before it: text that was put together of
questions and answers has as many tokens as they have words.
"""
import array
import random
import struct

WORDS = 512
CONTROL, NORMAL, BYTE, UNKNOWN = 3, 1, 6, 2
TOKENS = ([("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)]
          + [("<0x%02X>" % byte, BYTE) for byte in range(256)]
          + [("\u2581", NORMAL)]
          + [("\u2581w%d" % number, NORMAL) for number in range(WORDS)])
FIRST_WORD = len(TOKENS) - WORDS
CHARACTERS = [chr(0x4E00 + number) for number in range(WORDS)]
# What stands before a character: a space, a line feed between two texts, or both.
BLANKS = ["\u2581", "\n", "\n\u2581", "\u2581\u2581"]
TOKENS_OF_CHARACTERS = TOKENS[:FIRST_WORD] + [
    (blank + character, NORMAL) for blank in BLANKS for character in CHARACTERS]
WIDTH, HEADS, INNER, LAYERS, CONTEXT = 64, 2, 128, 2, 8192
TEMPLATE = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}assistant:"

# GGUF's numbers of types.
U32, F32, TEXT, LIST, I32, TRUTH = 4, 6, 8, 9, 5, 7


def text(words):
    raw = words.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(kind, it):
    return text(it) if kind == TEXT else struct.pack({U32: "<I", F32: "<f", I32: "<i", TRUTH: "?"}[kind], it)


def entry(key, kind, it):
    return text(key) + struct.pack("<I", kind) + value(kind, it)


def entries(key, kind, items):
    head = text(key) + struct.pack("<IIQ", LIST, kind, len(items))
    return head + b"".join(value(kind, it) for it in items)


def metadata(ranks, tokens, begins):
    family = "qwen3" if ranks else "llama"
    labels = [entries("qwen3.classifier.output_labels", TEXT, ["yes", "no"])] if ranks else []
    return labels + [
        entry("general.architecture", TEXT, family),
        entry("general.name", TEXT, "tiny-random-" + family),
        entry("general.alignment", U32, 32),
        entry(family + ".context_length", U32, CONTEXT),
        entry(family + ".embedding_length", U32, WIDTH),
        entry(family + ".block_count", U32, LAYERS),
        entry(family + ".feed_forward_length", U32, INNER),
        entry(family + ".attention.head_count", U32, HEADS),
        entry(family + ".attention.head_count_kv", U32, HEADS),
        entry(family + ".attention.layer_norm_rms_epsilon", F32, 1e-5),
        entry(family + ".rope.dimension_count", U32, WIDTH // HEADS),
        entry(family + ".vocab_size", U32, len(tokens)),
        entry("tokenizer.ggml.model", TEXT, "llama"),
        entries("tokenizer.ggml.tokens", TEXT, [word for word, _ in tokens]),
        entries("tokenizer.ggml.scores", F32, [0.0] * len(tokens)),
        entries("tokenizer.ggml.token_type", I32, [kind for _, kind in tokens]),
        entry("tokenizer.ggml.unknown_token_id", U32, 0),
        entry("tokenizer.ggml.bos_token_id", U32, 1),
        entry("tokenizer.ggml.eos_token_id", U32, 2),
        entry("tokenizer.ggml.add_bos_token", TRUTH, begins),
        entry("tokenizer.chat_template", TEXT, TEMPLATE),
    ]


def tensors(ranks, count):
    """name -> (shape as GGUF has it, the fastest dimension first; numbers)."""
    draw = random.Random(7)

    def normal(inner, outer, scale):
        return (inner, outer), array.array("f", (draw.gauss(0, scale) for _ in range(inner * outer)))

    def ones(width=WIDTH):
        return (width,), array.array("f", [1.0] * width)

    made = {"token_embd.weight": normal(WIDTH, count, 1.0), "output_norm.weight": ones()}
    shape, output = normal(WIDTH, count, 0.5)
    silence = [(0, FIRST_WORD), (FIRST_WORD + WORDS, count)]
    for first, last in silence:
        output[first * WIDTH:last * WIDTH] = array.array("f", bytes(4 * (last - first) * WIDTH))
    made["output.weight"] = shape, output
    for layer in range(LAYERS):
        name = "blk.%d." % layer
        for norm in ("attn_norm", "ffn_norm"):
            made[name + norm + ".weight"] = ones()
        if ranks:
            for norm in ("attn_q_norm", "attn_k_norm"):
                made[name + norm + ".weight"] = ones(WIDTH // HEADS)
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            made[name + part + ".weight"] = normal(WIDTH, WIDTH, WIDTH ** -0.5)
        for part in ("ffn_gate", "ffn_up"):
            made[name + part + ".weight"] = normal(WIDTH, INNER, WIDTH ** -0.5)
        made[name + "ffn_down.weight"] = normal(INNER, WIDTH, INNER ** -0.5)
    if ranks:
        made["cls.output.weight"] = normal(WIDTH, 2, 1.0)
    return made


def padded(raw):
    return raw + bytes(-len(raw) % 32)


def write(path, ranks=False, characters=False):
    tokens = TOKENS_OF_CHARACTERS if characters else TOKENS
    known, weights = metadata(ranks, tokens, not characters), tensors(ranks, len(tokens))
    heads, offset = [], 0
    for name, (shape, numbers) in weights.items():
        full = struct.pack("<I%dQIQ" % len(shape), len(shape), *shape, 0, offset)
        heads.append(text(name) + full)
        offset += len(padded(numbers.tobytes()))
    start = b"GGUF" + struct.pack("<IQQ", 3, len(weights), len(known)) + b"".join(known + heads)
    with open(path, "wb") as file:
        file.write(padded(start))
        for _, numbers in weights.values():
            file.write(padded(numbers.tobytes()))
