"""The processes that torchrun started for one training, as `fusion_fitting` sees them.

torch.distributed's rendezvous comes from torchrun's variables (RANK, WORLD_SIZE, MASTER_ADDR, …):
https://docs.pytorch.org/docs/stable/elastic/run.html. NCCL between GPUs, Gloo between CPUs. When a
process dies, torchrun ends the others; a process that waits for one that cannot be reached any
more gives up after the timeout, so a job ends as failed rather than hang.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any


@dataclass(frozen=True)
class Processes:
    """This process (`rank`, from 0) among `world`, on a device such as `cpu` or `cuda:0`."""

    rank: int
    world: int
    device: str

    @property
    def leads(self) -> bool:
        """The one that writes files."""
        return self.rank == 0

    def share(self, batch: int) -> slice:
        """Equal parts, the first ones one row longer where it does not divide.

        >>> [Processes(rank, 3, "cpu").share(10) for rank in range(3)]
        [slice(0, 4, None), slice(4, 7, None), slice(7, 10, None)]
        """
        each, more = divmod(batch, self.world)
        first = self.rank * each + min(self.rank, more)
        return slice(first, first + each + (self.rank < more))

    def add_up(self, tensors: Sequence[Any]) -> None:
        """One sum over the network for all tensors together (a bucket)."""
        if self.world == 1:
            return
        import torch
        from torch import distributed

        bucket = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(bucket)
        parts = torch.split(bucket, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def told(self, message: Any) -> Any:
        """What the leader has to say, in every process; plain types only."""
        if self.world == 1:
            return message
        from torch import distributed

        box = [message if self.leads else None]
        distributed.broadcast_object_list(box, src=0, device=self._torch_device())
        return box[0]

    def _torch_device(self) -> Any:
        import torch

        return torch.device(self.device)


@contextmanager
def joined(timeout_seconds: float) -> Iterator[Processes]:
    """The processes of this job; one alone where torchrun started none."""
    import torch
    from torch import distributed

    world = int(os.environ.get("WORLD_SIZE", "1"))
    device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"
    if world == 1:
        yield Processes(0, 1, device)
        return
    if device != "cpu":
        torch.cuda.set_device(device)
    distributed.init_process_group(
        "gloo" if device == "cpu" else "nccl", timeout=timedelta(seconds=timeout_seconds)
    )
    try:
        yield Processes(distributed.get_rank(), world, device)
    finally:
        distributed.destroy_process_group()
