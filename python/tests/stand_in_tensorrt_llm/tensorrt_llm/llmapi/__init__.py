"""STAND-IN: configurations."""


class KvCacheConfig:
    def __init__(self, **given):
        self.given = given


class CudaGraphConfig(KvCacheConfig):
    pass
