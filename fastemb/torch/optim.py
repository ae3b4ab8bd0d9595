"""Optimizers of torch that change only the rows that have a gradient: ``SGD``, ``Adagrad``, ``Adam``, ``AdamW``.

They are `fastemb.optim` as subclasses of ``torch.optim.Optimizer``: the same rules (`fastemb._updates`) by the same
kernels, on parameters whose gradients are sparse tensors. Dense gradients are those of all rows.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from .. import _checks, _devices, _frameworks, _updates
from .._updates import Update
from ..gradient import require_target

#: Options of torch's optimizers that choose among its own ways, or have another meaning than is built here. They may
#: stand in a checkpoint of torch's if they say what is so here; to a constructor they are unknown.
_FOREIGN = ("amsgrad", "capturable", "differentiable", "foreach", "fused")
_HARMLESS = ("capturable", "foreach", "fused")
_FLAGS = "maximize", "nesterov", "row_wise", "decoupled_weight_decay", "stochastic_rounding", "check_finite"


class _Work(NamedTuple):
    """What is to be done to one parameter when all have been checked: views of arrays, none of them looked into."""

    parameter: Any
    table: Any
    ids: Any
    rows: Any
    ordered: bool
    state: dict[str, Any]
    update: Update


class _RowOptimizer(torch.optim.Optimizer):
    """What the four have in common: options of groups, states of parameters, and the road of a step."""

    def __init__(self, params: Iterable[Any], refused: Mapping[str, Any], **defaults: Any) -> None:
        for name in refused:
            why = "chooses among torch's own ways" if name in _FOREIGN else "is not an option"
            raise TypeError(f"{name} {why}; {type(self).__name__} of fastemb.torch takes {', '.join(defaults)}")
        super().__init__(params, defaults)

    # Groups --------------------------------------------------------------------------------------------------------

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, with options of its own if it names any.

        Parameters
        ----------
        param_group : dict
            ``params``, a tensor or several, of float32, float64, float16 or bfloat16; and options of the constructor.

        Raises
        ------
        TypeError
            If an option or a parameter is not of its type.
        ValueError
            If an option is out of its range; if a parameter is sparse, or in a group already.
        """
        super().add_param_group(param_group)
        try:
            self._check_options(self.param_groups[-1])
            for p in self.param_groups[-1]["params"]:
                if not p.is_floating_point():
                    raise TypeError(f"parameters must be tensors of floats, got one of {_name(p.dtype)}")
                if p.layout is not torch.strided:
                    raise ValueError(f"parameters must be strided tensors, got one of layout {_name(p.layout)}")
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise

    def _check_options(self, group: Mapping[str, Any]) -> None:
        """Refuse options that the rule does not know what to do with."""
        _as_rate(group["lr"])
        for name in ("weight_decay", "eps", "momentum", "lr_decay", "initial_accumulator_value"):
            if name in group:
                _updates.as_not_negative(group[name], name)
        for name in _FLAGS:
            if name in group:
                _checks.as_flag(group[name], name)
        _updates.as_count(group["seed"], "seed")
        if "betas" in group:
            _updates.as_betas(group["betas"])
        if group.get("dampening"):
            raise ValueError(f"dampening must be 0, got {group['dampening']!r}: velocities begin as first gradients")
        if group.get("nesterov") and not group["momentum"]:
            raise ValueError("nesterov needs a momentum, got momentum 0")
        for name in _FOREIGN:
            if name not in _HARMLESS and group.get(name):
                raise ValueError(
                    f"{name}={group[name]!r} is torch's own; {type(self).__name__} of fastemb.torch has none"
                )

    def _check_changed(self, group: Mapping[str, Any], number: int) -> None:
        """Refuse options that were set between steps; those that are as they were are not looked at: 25 us a group."""
        checked = self.__dict__.setdefault("_checked", {})  # which copies and pickles leave behind
        options = [group[name] for name in self.defaults if name != "lr"]  # that one is looked at by each step
        if checked.get(number) != options:
            self._check_options(group)
            checked[number] = options

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # of a checkpoint of torch's, which does not have all options
            for name, value in self.defaults.items():
                group.setdefault(name, value)

    # Steps ---------------------------------------------------------------------------------------------------------

    @torch._disable_dynamo
    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change the parameters that have a gradient, in place.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss and its gradients anew; called once, with grad mode on.

        Returns
        -------
        loss
            What `closure` returned; None without one.

        Raises
        ------
        IndexError
            If a sparse gradient names a row that is not there.
        TypeError
            If a gradient is no tensor of floats; if a state is on another device than its parameter; if an option that
            was set between steps is not of its type.
        ValueError
            If such an option is out of its range; if the shape of a gradient does not fit; if a state has another shape
            or dtype than its parameter asks for; if a parameter cannot be written to; if a gradient is not finite and
            the group has ``check_finite=True``.

        Notes
        -----
        Types, shapes and devices of all parameters are checked before the first changes. Numbers (row numbers of
        sparse gradients, and `check_finite`) are looked at parameter by parameter: each is changed as a whole or not at
        all, and those before the one that is refused have been changed.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        todo, index = [], 0
        for number, group in enumerate(self.param_groups):
            self._check_changed(group, number)
            for p in group["params"]:
                if p.grad is not None:
                    todo.append(self._asked(p, p.grad, group, index))
                index += 1
        for work in todo:
            self._do(work)
        return loss

    def _asked(self, p: Any, grad: Any, group: dict[str, Any], index: int) -> _Work:
        """Return what a step does to a parameter; shapes and dtypes are checked, nothing is written."""
        framework: Any = _frameworks.of(p)
        if grad.shape != p.shape:
            raise ValueError(
                f"a gradient must have the shape of its parameter, {tuple(p.shape)}, got {tuple(grad.shape)}"
            )
        if group["maximize"]:
            grad = -grad
        sparse = grad.is_sparse
        if sparse and grad.sparse_dim() != 1:
            raise ValueError(
                f"a sparse gradient must have whole rows, so one sparse axis, got {grad.sparse_dim()} for a parameter "
                f"of shape {tuple(p.shape)}"
            )
        shape = _shape_of_rows(p, sparse or group.get("row_wise", False))
        table = framework.view(_as_rows(p, shape, "a parameter"), "target")
        _checks.require_float(table, "a parameter")
        require_target(table, "a parameter")
        ids, ordered = None, True
        if sparse:
            ids, rows = framework.view(grad._indices()[0], "ids"), grad._values().reshape(grad._nnz(), shape[1])
            ordered = grad.is_coalesced() or _ascend(ids)
        else:
            rows = grad.reshape(shape)
        rows = framework.view(rows, "grad")
        _checks.require_float(rows, "a gradient")
        _checks.require_one_device(parameter=table, gradient=rows)
        if _checks.may_share(table, rows):
            raise ValueError("a parameter overlaps its gradient in memory")
        step, tensors = int(self.state[p].get("step", 0)) + 1 if p in self.state else 1, self._state_of(p, table, group)
        views = {}
        for name, tensor in tensors.items():
            flat = tensor.reshape(-1) if tensor.ndim != p.ndim else _as_rows(tensor, shape, name)
            views[name] = framework.view(flat, "target")
        _checks.require_one_device(parameter=table, **views)
        update = self._update(group, views, step, dense=not sparse)
        key = _updates.key_of(group["seed"] + index, step) if group["stochastic_rounding"] else None
        update = update._replace(key=key, check_finite=group["check_finite"])
        return _Work(p, table, ids, rows, ordered, {"step": step, **tensors}, update)

    def _do(self, work: _Work) -> None:
        """Change a parameter and its state."""
        room = _devices.optim(work.table)
        if work.ordered:
            room.step(work.table, work.ids, work.rows, work.update)
        else:
            room.step_from(work.table, work.ids, work.rows, None, work.update)
        self.state[work.parameter].update(work.state)
        torch.autograd.graph.increment_version(work.parameter)

    def _state_of(self, p: Any, table: Any, group: dict[str, Any]) -> dict[str, Any]:
        """Return the tensors of a parameter's state, new ones where it has none yet."""
        old, tensors = self.state.get(p, {}), {}
        for name in self._names(group):
            tensor = old.get(name)
            if tensor is None:
                shape, begin = self._shape_of(p, group), group.get("initial_accumulator_value", 0.0)
                made = _devices.optim(table).new_state(table, shape, begin)  # of NumPy, or the device's tensor
                tensor = torch.from_numpy(made) if isinstance(made, np.ndarray) else made
            else:
                self._require_state(name, tensor, p, group)
            tensors[name] = tensor
        return tensors

    def _require_state(self, name: str, tensor: Any, p: Any, group: Mapping[str, Any]) -> None:
        """Refuse a state that is not of the shape and dtype that a parameter asks for."""
        shape, dtype = self._shape_of(p, group), torch.float64 if p.dtype is torch.float64 else torch.float32
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(tensor).__name__}")
        if tuple(tensor.shape) != shape or tensor.dtype is not dtype:
            of = f"for a parameter of shape {tuple(p.shape)} and {_name(p.dtype)}"
            raise ValueError(f"{name} must have shape {shape} and {_name(dtype)} {of}, got {tuple(tensor.shape)} and "
                             f"{_name(tensor.dtype)}")  # fmt: skip

    def _names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the names of the tensors of a state."""
        raise NotImplementedError

    def _shape_of(self, p: Any, group: Mapping[str, Any]) -> tuple[int, ...]:
        """Return the shape of the tensors of a state."""
        return tuple(p.shape[:1] if group.get("row_wise") else p.shape)

    def _update(self, group: Mapping[str, Any], state: dict[str, Any], step: int, dense: bool) -> Update:
        """Return the numbers and the state of a step, counted from 1."""
        raise NotImplementedError

    # State ---------------------------------------------------------------------------------------------------------

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take groups, options and copies of the states of another optimizer: one of this class, or of torch's.

        Parameters
        ----------
        state_dict : dict
            As ``state_dict()`` gives it. Options that it does not name keep the values they have here.

        Raises
        ------
        TypeError
            If an option or a state is not of its type.
        ValueError
            If groups do not fit; if an option is out of its range, or one of torch's that is not built here
            (``amsgrad``, ``dampening``); if a state has another shape or dtype than its parameter asks for. Nothing is
            taken then.

        Notes
        -----
        torch's own method rounds states to the dtype of their parameters. Ours are float32 beside 16-bit parameters,
        and stay so; a state of torch's that is of 16 bits is widened.
        """
        groups = [{**self.defaults, **saved} for saved in state_dict["param_groups"]]
        for group in groups:
            self._check_options(group)
        taken = {}
        for mine, group in zip(self.param_groups, groups, strict=False):  # torch says where the numbers differ
            for p, number in zip(mine["params"], group["params"], strict=False):
                taken[p] = self._taken(p, state_dict["state"].get(number, {}), group)
        super().load_state_dict(state_dict)
        for p, state in taken.items():
            if state:
                self.state[p] = state
            else:
                self.state.pop(p, None)

    def _taken(self, p: Any, saved: Mapping[str, Any], group: Mapping[str, Any]) -> dict[str, Any]:
        """Return a copy of a saved state as this optimizer keeps it, checked."""
        state: dict[str, Any] = {}
        if "step" in saved:
            state["step"] = _updates.as_count(int(saved["step"]), "step")
        for name in self._names(group):
            tensor = saved.get(name)  # None: a velocity that torch has not begun
            if tensor is None:
                continue
            if isinstance(tensor, torch.Tensor) and tensor.dtype is p.dtype and p.dtype.itemsize == 2:
                tensor = tensor.float()
            self._require_state(name, tensor, p, group)
            state[name] = tensor.detach().to(p.device).clone(memory_format=torch.contiguous_format)
        return state


class SGD(_RowOptimizer):
    """Gradient descent, with momentum if asked for: `fastemb.SGD` for the parameters of torch.

    Parameters
    ----------
    params : iterable of tensors, of dicts, or of named tensors
        As all optimizers of torch take them.
    lr : float or tensor of one element
        The rate of learning.
    momentum : float
        What is kept of a row's velocity at each step that has a gradient for the row.
    dampening : float
        0 alone, as torch's default.
    weight_decay : float
        So many times a row is added to its gradient.
    nesterov : bool
        Go along the velocity of one step later.
    maximize : bool
        Climb: gradients count with the other sign, which takes a copy of them.
    stochastic_rounding : bool
        Round rows of 16-bit parameters up or down by chance, the nearer the likelier.
    seed : int
        Of that chance. Each parameter has its own: the seed and its number among all parameters are added.
    check_finite : bool
        Refuse gradients that hold NaN or an infinity, which are written otherwise.

    Raises
    ------
    TypeError
        If an option is not of its type, or one of those by which torch chooses among its own ways (``foreach``).
    ValueError
        If an option is out of its range; if `nesterov` has no momentum.

    Notes
    -----
    Of sparse gradients the numbers are torch's, which takes neither momentum nor decay with them. Both are lazy here: a
    row without a gradient keeps its velocity and its weights. Dense gradients have all rows, and their numbers are
    torch's.

    Examples
    --------
    >>> import torch
    >>> from fastemb.torch.optim import SGD
    >>> layer = torch.nn.Embedding.from_pretrained(torch.zeros(3, 2), freeze=False, sparse=True)
    >>> optimizer = SGD(layer.parameters(), lr=0.5)
    >>> layer(torch.tensor([2, 0, 2])).sum().backward()
    >>> optimizer.step()
    >>> layer.weight.detach()
    tensor([[-0.5000, -0.5000],
            [ 0.0000,  0.0000],
            [-1.0000, -1.0000]])
    """

    def __init__(
        self, params: Iterable[Any], lr: Any = 1e-3, momentum: float = 0.0, dampening: float = 0.0,
        weight_decay: float = 0.0, nesterov: bool = False, *, maximize: bool = False,
        stochastic_rounding: bool = False, seed: int = 0, check_finite: bool = False, **others: Any,
    ) -> None:  # fmt: skip
        rule = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        super().__init__(
            params, others, **rule, nesterov=nesterov, maximize=maximize, stochastic_rounding=stochastic_rounding,
            seed=seed, check_finite=check_finite,
        )  # fmt: skip

    def _names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()

    def _update(self, group: Mapping[str, Any], state: dict[str, Any], step: int, dense: bool) -> Update:
        given = {name: group[name] for name in ("momentum", "weight_decay", "nesterov")}
        return _updates.sgd(state.get("momentum_buffer"), lr=_as_rate(group["lr"]), **given)


class Adagrad(_RowOptimizer):
    """Rates that fall with the squares of the gradients a row has met: `fastemb.Adagrad` for torch's parameters.

    Parameters
    ----------
    params : iterable
        As in `SGD`.
    lr : float or tensor of one element
        The rate of learning.
    lr_decay : float
        The rate of a parameter's step n is ``lr / (1 + (n - 1) * lr_decay)``.
    weight_decay : float
        So many times a row is added to its gradient.
    initial_accumulator_value : float
        What the sums of squares begin with.
    eps : float
        Added to the root of the sums.
    row_wise : bool
        Keep one number for each row (of more axes: for each entry of the first), the sum of the means of its squares.
    maximize, stochastic_rounding, seed, check_finite
        As in `SGD`.

    Raises
    ------
    TypeError, ValueError
        As `SGD`.

    Notes
    -----
    The numbers are torch's; with a sparse gradient torch refuses `weight_decay`, which is lazy here. The state is
    ``sum``, as torch's, but of shape (V,) with `row_wise`. It is made at the first step, not with the optimizer.

    Examples
    --------
    >>> import torch
    >>> from fastemb.torch.optim import Adagrad
    >>> layer = torch.nn.Embedding.from_pretrained(torch.zeros(3, 2), freeze=False, sparse=True)
    >>> optimizer = Adagrad(layer.parameters(), lr=0.5, row_wise=True)
    >>> layer(torch.tensor([1])).sum().backward()
    >>> optimizer.step()
    >>> optimizer.state[layer.weight]["sum"]
    tensor([0., 1., 0.])
    """

    def __init__(
        self, params: Iterable[Any], lr: Any = 1e-2, lr_decay: float = 0.0, weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0, eps: float = 1e-10, *, row_wise: bool = False, maximize: bool = False,
        stochastic_rounding: bool = False, seed: int = 0, check_finite: bool = False, **others: Any,
    ) -> None:  # fmt: skip
        rule = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps}
        super().__init__(
            params, others, **rule, initial_accumulator_value=initial_accumulator_value, row_wise=row_wise,
            maximize=maximize, stochastic_rounding=stochastic_rounding, seed=seed, check_finite=check_finite,
        )  # fmt: skip

    def _names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return ("sum",)

    def _update(self, group: Mapping[str, Any], state: dict[str, Any], step: int, dense: bool) -> Update:
        given = {name: group[name] for name in ("lr_decay", "weight_decay", "eps")}
        return _updates.adagrad(state["sum"], step, lr=_as_rate(group["lr"]), **given)


class Adam(_RowOptimizer):
    """``torch.optim.SparseAdam`` by our kernels, with decay, and for dense gradients too: `fastemb.Adam`.

    Parameters
    ----------
    params : iterable
        As in `SGD`.
    lr : float or tensor of one element
        The rate of learning.
    betas : tuple of two floats
        What is kept of the mean and of the mean of squares, at each step that has a gradient for the row.
    eps : float
        Added to the root.
    weight_decay : float
        So many times a row is added to its gradient.
    decoupled_weight_decay : bool
        Let weights shrink by themselves instead, as `AdamW` does.
    maximize, stochastic_rounding, seed, check_finite
        As in `SGD`.

    Raises
    ------
    TypeError, ValueError
        As `SGD`; if one of `betas` is not from 0 on and below 1.

    Notes
    -----
    Of sparse gradients the numbers are SparseAdam's: rows without a gradient keep their means and their weights, the
    bias is corrected by the number of all steps, and `eps` is added before that. Of dense gradients they are those of
    ``torch.optim.Adam``, which adds it after. So one optimizer serves a whole model, its tables row by row. The states
    are ``step``, ``exp_avg`` and ``exp_avg_sq``: each of the three loads checkpoints of the other two. Means of squares
    are moved by their difference, as SparseAdam does it: with ``betas[1]`` near 0, which keeps nearly nothing of them,
    dense steps have rounding errors of the last square where torch's have those of the next.

    Examples
    --------
    >>> import torch
    >>> from fastemb.torch.optim import Adam
    >>> layer = torch.nn.Embedding(100, 8, sparse=True)
    >>> model = torch.nn.Sequential(layer, torch.nn.Linear(8, 1))
    >>> optimizer = Adam(model.parameters(), lr=0.1)
    >>> model(torch.tensor([5, 5, 7])).sum().backward()
    >>> optimizer.step()
    >>> sorted(optimizer.state[layer.weight])
    ['exp_avg', 'exp_avg_sq', 'step']
    """

    def __init__(
        self, params: Iterable[Any], lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0.0, *, decoupled_weight_decay: bool = False, maximize: bool = False,
        stochastic_rounding: bool = False, seed: int = 0, check_finite: bool = False, **others: Any,
    ) -> None:  # fmt: skip
        rule = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(
            params, others, **rule, decoupled_weight_decay=decoupled_weight_decay, maximize=maximize,
            stochastic_rounding=stochastic_rounding, seed=seed, check_finite=check_finite,
        )  # fmt: skip

    def _names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def _update(self, group: Mapping[str, Any], state: dict[str, Any], step: int, dense: bool) -> Update:
        given = {name: group[name] for name in ("betas", "eps", "weight_decay")}
        given |= {"lr": _as_rate(group["lr"]), "decoupled": group["decoupled_weight_decay"], "corrected_eps": dense}
        return _updates.adam(state["exp_avg"], state["exp_avg_sq"], step, **given)


class AdamW(Adam):
    """`Adam`, whose rows shrink by themselves: ``row * (1 - lr * weight_decay)`` before each of their changes.

    Parameters
    ----------
    params, lr, betas, eps
        As in `Adam`.
    weight_decay : float
        What a row that has a gradient loses at each step, times `lr`.
    maximize, stochastic_rounding, seed, check_finite
        As in `SGD`.

    Raises
    ------
    TypeError, ValueError
        As `Adam`.

    Notes
    -----
    ``torch.optim.AdamW`` takes no sparse gradients. Decay is lazy with them: rows without a gradient do not shrink.
    Of dense gradients the numbers are torch's.

    Examples
    --------
    >>> import torch
    >>> from fastemb.torch.optim import AdamW
    >>> layer = torch.nn.Embedding.from_pretrained(torch.ones(2, 2), freeze=False, sparse=True)
    >>> optimizer = AdamW(layer.parameters(), lr=0.5, weight_decay=1.0)
    >>> (0 * layer(torch.tensor([1]))).sum().backward()
    >>> optimizer.step()
    >>> layer.weight.detach()
    tensor([[1.0000, 1.0000],
            [0.5000, 0.5000]])
    """

    def __init__(
        self, params: Iterable[Any], lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 1e-2, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay, decoupled_weight_decay=True, **options)


# Tensors and numbers -----------------------------------------------------------------------------------------------


def _as_rate(lr: Any) -> float:
    """Return the rate of learning as a number; schedulers change it between steps."""
    if isinstance(lr, torch.Tensor):
        if lr.numel() != 1:
            raise ValueError(f"lr must be a number or a tensor of one element, got one of shape {tuple(lr.shape)}")
        lr = lr.item()
    return _updates.as_not_negative(lr, "lr")


def _shape_of_rows(p: Any, by_rows: bool) -> tuple[int, int]:
    """Return the shape of a parameter as rows; one axis is a single row, unless rows have numbers of their own."""
    if p.ndim < 2:
        return (p.numel(), 1) if by_rows else (1, p.numel())
    return p.shape[0], math.prod(p.shape[1:])


def _as_rows(tensor: Any, shape: tuple[int, int], name: str) -> Any:
    """Return a view of a tensor as rows."""
    if tensor.ndim == 2:
        return tensor.detach()
    try:
        return tensor.detach().view(shape)
    except RuntimeError:
        layout = f"shape {tuple(tensor.shape)} and strides {tensor.stride()}"
        raise ValueError(f"{name} of other than two axes must be contiguous, got {layout}") from None


def _ascend(ids: Any) -> bool:
    """Whether ids that lie on the CPU ascend, each once, as our backwards leave them; of others nobody asks."""
    return _devices.device(ids) == "cpu" and bool((ids[1:] > ids[:-1]).all())


def _name(value: Any) -> str:
    return str(value).removeprefix("torch.")
