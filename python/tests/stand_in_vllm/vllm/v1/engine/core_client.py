"""STAND-IN: an engine core in this process."""

from collections import deque

from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.engine import EngineCoreOutputs


class UniProcExecutor:
    pass


class EngineCore:
    def __init__(self, args, blocks):
        self.model_executor = UniProcExecutor()
        self.scheduler = Scheduler(args, blocks)
        self.batch_queue = deque() if args.async_scheduling else None

    def step(self):
        plan = self.scheduler.schedule() if self.scheduler.has_requests() else None
        if self.batch_queue is not None:
            if plan:
                self.batch_queue.append(plan)
                if len(self.batch_queue) < 2:
                    return None  # Nothing has come back yet.
            plan = self.batch_queue.popleft() if self.batch_queue else None
        if plan is None:
            return None
        outputs, stats = self.scheduler.update(plan)
        return EngineCoreOutputs(outputs, stats)


class InprocClient:
    def __init__(self, args, blocks):
        self.engine_core = EngineCore(args, blocks)
        self.closed = False

    def add_request(self, request):
        self.engine_core.scheduler.add_request(request)

    def get_output(self):
        return self.engine_core.step() or EngineCoreOutputs()

    def abort_requests(self, request_ids):
        self.engine_core.scheduler.abort(request_ids)

    def shutdown(self):
        self.closed = True
