"""`Rotary`: queries and keys turned by their positions, as a model's configuration says."""

from collections.abc import Mapping
from typing import Any

import torch

from ...position import rope_frequencies
from .. import _doors
from .._functions.position import Arrays, Options, rope


class Rotary(torch.nn.Module):
    """Turn queries and keys by their positions: rotary position embedding with the options of a model.

    Parameters
    ----------
    dim : int
        Columns of a head, even.
    base : float
        ``rope_theta`` of the configuration.
    scaling : mapping, optional
        ``rope_scaling`` or ``rope_parameters`` of the configuration, as `fastemb.rope_frequencies` takes it. With
        ``partial_rotary_factor`` only that share of the columns is turned, the first ones.
    length : int, optional
        Positions of the text, which some kinds of scaling depend on.
    interleaved : bool
        Pairs are the columns (2i, 2i + 1), as in GPT-J and GLM; otherwise (i, D/2 + i), as in Llama and most others.
    unsqueeze_dim : {1, 2}
        Where the axis of heads is: 1 for (B, heads, T, D), 2 for (B, T, heads, D); Hugging Face's name of the option.

    Raises
    ------
    TypeError, ValueError
        As `fastemb.rope_frequencies`; ValueError if `unsqueeze_dim` is neither 1 nor 2.

    Notes
    -----
    It has no parameters and no buffers: frequencies are float64 whatever ``.to(dtype)`` and ``.half()`` make of the
    model around it, which has cost models their long positions. Results are those of ``apply_rotary_pos_emb`` of
    transformers with cosines and sines that are right to the last place; transformers' own are computed in float32 and
    off by about ``2e-7`` times the position in the angle.

    Examples
    --------
    >>> import torch
    >>> from fastemb.torch import Rotary
    >>> queries, keys = torch.randn(2, 8, 5, 64), torch.randn(2, 2, 5, 64)
    >>> turned, _ = Rotary(64, base=500_000.0)(queries, keys)
    >>> turned.shape, torch.equal(turned[:, :, 0], queries[:, :, 0])
    (torch.Size([2, 8, 5, 64]), True)
    """

    def __init__(
        self, dim: int, *, base: float = 10000.0, scaling: Mapping[str, Any] | None = None, length: int | None = None,
        interleaved: bool = False, unsqueeze_dim: int = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        if unsqueeze_dim not in (1, 2):
            raise ValueError(f"unsqueeze_dim must be 1 or 2, the axis of the heads, got {unsqueeze_dim!r}")
        inv_freq, scale = rope_frequencies(dim, base=base, scaling=scaling, length=length)
        self.dim, self.base, self.interleaved, self.unsqueeze_dim = dim, float(base), interleaved, unsqueeze_dim
        self.columns = 2 * len(inv_freq)  # that are turned
        # Without scaling the base says it all, and small calls know its cosines and sines already.
        with torch.inference_mode(False):  # a tensor that was made in it cannot be kept for a backward
            self._inv_freq = None if scaling is None else torch.from_numpy(inv_freq)
        self._options = Options(self.base, scale, interleaved, False)

    def extra_repr(self) -> str:
        """Return the options."""
        return f"{self.dim}, base={self.base}, interleaved={self.interleaved}, unsqueeze_dim={self.unsqueeze_dim}"

    def forward(
        self, q: torch.Tensor, k: torch.Tensor | None = None, position_ids: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor] | torch.Tensor:
        """Turn queries, and keys if they are given.

        Parameters
        ----------
        q, k : torch.Tensor, shape (B, heads, T, D), or (B, T, heads, D) with ``unsqueeze_dim=2``
            Of as many heads each as they have; with one axis less where there is no batch.
        position_ids : torch.Tensor of int or float, shape (B, T), (1, T) or (T,), optional
            0, 1, … by default.

        Returns
        -------
        torch.Tensor, or a tuple of two
            Of the shapes and dtypes of `q` and `k`.

        Raises
        ------
        TypeError, ValueError
            As `fastemb.rope`; ValueError if there are not D columns.
        """
        turned = self._turn(q, "q", position_ids)
        return turned if k is None else (turned, self._turn(k, "k", position_ids))

    def _turn(self, x: torch.Tensor, name: str, position_ids: Any) -> Any:
        _doors.require_tensor(x, name)
        if x.shape[-1:] != (self.dim,):
            raise ValueError(f"{name} must have {self.dim} columns, as the module was told, got shape {tuple(x.shape)}")
        position_ids = _doors.as_tensor(position_ids, "position_ids")
        if self.unsqueeze_dim == 2:  # a position for each token, whatever the head
            if x.dim() < 3:
                raise ValueError(
                    f"{name} must have shape (..., T, heads, D) with unsqueeze_dim=2, got {tuple(x.shape)}"
                )
            if position_ids is None:
                position_ids = torch.arange(x.shape[-3], device=x.device)
            axes = x.dim() - 2 - position_ids.dim()
            position_ids = position_ids.unsqueeze(-1)[(None,) * axes]
        speed = self._inv_freq
        if speed is not None and speed.device != x.device:
            speed = speed.to(x.device)
            # Only a plain tensor is kept: not one of meta, of a trace, of a transform, or of inference mode.
            if _doors.door(x) is _doors.EAGER and not torch.is_inference_mode_enabled():
                self._inv_freq = speed
        if self.columns == self.dim:
            return rope(Arrays(x, position_ids, speed), self._options)
        turned = rope(Arrays(x[..., : self.columns], position_ids, speed), self._options)
        return torch.cat([turned, x[..., self.columns :]], -1)
