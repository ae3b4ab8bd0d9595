"""Optimizers that change only the rows of a table that have a gradient: ``SGD``, ``Adagrad``, ``Adam``, ``AdamW``."""

import json
from collections.abc import Mapping
from os import PathLike
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from . import _checks, _devices, _frameworks, _updates
from ._checks import Array
from ._updates import (
    Update,
    as_betas,
    as_count,
    as_not_negative,
    as_table_dtype,
    as_table_shape,
    key_of,
    require_keys,
    safetensors_module,
)  # fmt: skip
from ._words import shown, type_name
from .gradient import RowGrad, require_target
from .ragged import Ragged


class _Optimizer:
    """What the four have in common: options, the state of one table, and the road of a step."""

    #: The names of the options, those of the constructor; of those that are numbers of the rule; and of the arrays of
    #: the state, first and second.
    _OPTIONS: ClassVar[tuple[str, ...]]
    _RULE: ClassVar[tuple[str, ...]]
    _STATE: ClassVar[tuple[str, ...]]

    def __init__(self, lr: float, weight_decay: float, stochastic_rounding: bool, seed: int) -> None:
        self.lr = lr
        self.weight_decay = as_not_negative(weight_decay, "weight_decay")
        self.stochastic_rounding = _checks.as_flag(stochastic_rounding, "stochastic_rounding")
        self.seed = as_count(seed, "seed")
        self._steps = 0
        #: Shape and dtype of the table that this object serves, and its state; until the first step none.
        self._table: tuple[tuple[int, int], np.dtype[Any]] | None = None
        self._arrays: dict[str, Array] = {}
        #: Whether that lies on the CPU.
        self._here = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "lr" and name in self._OPTIONS and name in self.__dict__:
            raise AttributeError(f"{name} of an optimizer stays as it was made; only lr may be set between steps")
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._OPTIONS)
        return f"{type(self).__name__}({options})"

    @property
    def lr(self) -> float:
        """The rate of learning, which may be set between steps."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = as_not_negative(value, "lr")

    @property
    def steps(self) -> int:
        """How many steps were made."""
        return self._steps

    # Steps ---------------------------------------------------------------------------------------------------------

    def step(self, table: Array, row_grad: RowGrad, *, check_finite: bool = False) -> Array:
        """Change the rows of a table that have a gradient, in place.

        Parameters
        ----------
        table : numpy.ndarray, shape (V, D)
            float64, float32, float16 or bfloat16, of any strides and byte order; a memory map, too. From the first
            step on this object serves tables of that shape and dtype alone.
        row_grad : RowGrad
            Its gradient: ids that ascend, each once, as `row_grad` and the backwards give them, and rows of
            any of the four dtypes. One without ids counts as a step and changes nothing.
        check_finite : bool
            Refuse a gradient that holds NaN or an infinity, which is written otherwise.

        Returns
        -------
        numpy.ndarray
            `table` itself.

        Raises
        ------
        IndexError
            If an id is out of range: the first such id, its position and V are named.
        TypeError
            If `table` or the rows are no arrays of the four dtypes (a quantised table cannot be changed, nor an array
            of JAX), or of two frameworks; if `row_grad` is none; if its ids are not integers.
        ValueError
            If `table` is not of shape (V, D), or not of the shape and dtype of the state; if it is read-only or
            overlaps itself; if table, gradient and state overlap; if the shapes of the gradient do not fit; if ids do
            not ascend; if the gradient is not finite and `check_finite` asks for that.

        Notes
        -----
        Nothing is changed, table or state, before all has been checked.
        """
        ids, rows = _parts_of(row_grad)
        if type(table) is not np.ndarray and (framework := _frameworks.of(table)):
            return framework.call(_step, table, ids, rows, check_finite, self)
        return _step(table, ids, rows, check_finite, self)

    def step_from(
        self, table: Array, ids: Any, grad: Array, *, padding_idx: int | None = None, check_finite: bool = False
    ) -> Array:
        """Do `row_grad` and `step` in one sweep: the rows of the gradient are never written.

        Parameters
        ----------
        table : numpy.ndarray, shape (V, D)
            As for `step`.
        ids : array_like of int, any shape, or Ragged
            The ids that were looked up, in any order, each any number of times.
        grad : numpy.ndarray, shape ``ids.shape + (D,)``
            The gradient of the rows that were looked up; with a `Ragged`, ``(N, D)``.
        padding_idx : int, optional
            The id that is left out, compared as it is: its row is not changed, and where it stands, `grad` is not
            looked at.
        check_finite : bool
            Refuse sums of gradients that are NaN or infinite. Then the rows are made after all.

        Returns
        -------
        numpy.ndarray
            `table` itself, with the bits of ``step(table, row_grad(ids, grad, padding_idx=padding_idx))``.

        Raises
        ------
        IndexError
            If an id, not that of `padding_idx`, is out of range: the first such id, its position and V are named.
        TypeError
            As `step`; if `padding_idx` is not an integer.
        ValueError
            As `step`; if the shape of `grad` does not fit those of `ids` and `table`.
        """
        if type(table) is not np.ndarray and (framework := _frameworks.of(table)):
            return framework.call(_step_from, table, ids, grad, padding_idx, check_finite, self)
        return _step_from(table, ids, grad, padding_idx, check_finite, self)

    def _asked(self, table: Any, check_finite: bool) -> tuple[Update, dict[str, Array]]:
        """Return what the next step asks for, and the state, which is new at the first step."""
        state = self._views()
        if self._table is None:
            make, begin = _devices.optim(table).new_state, self._begin()
            state = {name: _view(make(table, self._shape_of(name, table.shape), begin)) for name in self._STATE}
        else:
            _checks.require_one_device(table=table, **state)
        key = key_of(self.seed, self._steps + 1) if self.stochastic_rounding else None
        return self._update(state, self._steps + 1)._replace(key=key, check_finite=check_finite), state

    def _views(self) -> dict[str, Array]:
        """Return the state as rooms see it."""
        if self._here:
            return self._arrays
        return {name: _view(array) for name, array in self._arrays.items()}

    def _update(self, state: dict[str, Array], step: int) -> Update:
        """Return the numbers of a step, counted from 1."""
        raise NotImplementedError

    def _numbers(self) -> dict[str, Any]:
        """Return the options that the rule of a step takes."""
        return {name: getattr(self, name) for name in self._RULE}

    def _begin(self) -> float:
        """Return what the numbers of a new state are."""
        return 0.0

    def _shape_of(self, name: str, shape: tuple[int, int]) -> tuple[int, ...]:
        """Return the shape of an array of the state."""
        return shape

    def _require_table(self, table: Any) -> None:
        """Refuse a table that this object does not serve."""
        if self._table is None:
            return
        shape, dtype = self._table
        if table.shape != shape or _checks.result_dtype(table) != dtype:
            mine = f"one of shape {shape} and dtype {dtype}"
            raise ValueError(
                f"this {type(self).__name__} has the state of another table, {mine}, got {table.shape} and "
                f"{table.dtype}; each table needs an optimizer of its own"
            )

    def _made(self, table: Any, state: dict[str, Array]) -> None:
        """Note a step that was made."""
        self._table = table.shape, _checks.result_dtype(table)
        self._here = isinstance(table, np.ndarray)
        self._arrays = state if self._here else {name: _frameworks.owned(array) for name, array in state.items()}
        self._steps += 1

    # State ---------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return all that a later run needs to go on.

        Returns
        -------
        dict
            ``optimizer``, the name of the class; ``step``, how many were made; ``options``, a dict; ``shape`` and
            ``dtype`` of the table, None before the first step; ``state``, a dict of arrays, which are those that
            later steps change: copy what is to stay. They are NumPy's, of a table on a device its framework's.
        """
        shape, dtype = self._table or (None, None)
        return {
            "optimizer": type(self).__name__,
            "step": self._steps,
            "options": {name: getattr(self, name) for name in self._OPTIONS},
            "shape": shape,
            "dtype": dtype and dtype.name,
            "state": dict(self._arrays),
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take the options, the number of steps and copies of the state of another optimizer of this class.

        Parameters
        ----------
        state_dict : dict
            As `state_dict` gives it.

        Raises
        ------
        TypeError
            If it is no dict, or holds something of another type.
        ValueError
            If it is that of another class; if something is missing or unknown; if an array is not of the shape and
            dtype that the table's ask for. Nothing is taken then.
        """
        other = _checked(type(self), state_dict)
        self.__dict__.update(other.__dict__)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the state to a file of safetensors, with everything else of `state_dict` as its metadata.

        Parameters
        ----------
        path : str or path
            The file, which is written anew.

        Raises
        ------
        ModuleNotFoundError
            If the package safetensors is not installed.
        TypeError
            If the state lies on a device, as the table does: ``fastemb.torch.optim`` saves those.
        """
        told = self.state_dict()
        state = told.pop("state")
        for name, array in state.items():
            if type(array) is not np.ndarray:
                raise TypeError(
                    f"{name} is on {_frameworks.place(array)}, and save writes what lies on the CPU; state_dict() has "
                    f"the array itself"
                )
        numpy_files = safetensors_module(f"writing {path}", "safetensors.numpy")
        tensors = {name: np.ascontiguousarray(array) for name, array in state.items()}
        numpy_files.save_file(tensors, path, {"fastemb.optim": json.dumps(told)})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Return the optimizer that `save` wrote to a file; its next step has the bits that it would have had.

        Parameters
        ----------
        path : str or path
            The file.

        Returns
        -------
        optimizer
            A new one of this class.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ModuleNotFoundError
            If the package safetensors is not installed.
        ValueError
            If the file is damaged, or holds something else, or an optimizer of another class.
        """
        safetensors = safetensors_module(f"reading {path}", "safetensors")
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                told = json.loads((file.metadata() or {}).get("fastemb.optim", "null"))
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (safetensors.SafetensorError, json.JSONDecodeError) as error:
            raise ValueError(f"{path}: damaged safetensors file: {error}") from None
        if not isinstance(told, dict):
            raise ValueError(f"{path}: no optimizer that fastemb saved: its metadata have no fastemb.optim")
        try:
            return _checked(cls, {**told, "state": state})
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from None


Kind = TypeVar("Kind", bound=_Optimizer)


class SGD(_Optimizer):
    """Gradient descent, with momentum if asked for.

    Parameters
    ----------
    lr : float
        The rate of learning.
    momentum : float
        What is kept of a row's velocity at each step that has a gradient for the row.
    weight_decay : float
        So many times a row is added to its gradient.
    nesterov : bool
        Go along the velocity of one step later.
    stochastic_rounding : bool
        Round rows of 16-bit tables up or down by chance, the nearer the likelier, so that changes smaller than half of
        a last place are not lost. Of float32 and float64 tables nothing is rounded.
    seed : int
        Of that chance, which is a hash of seed, step, row and column; not negative.

    Raises
    ------
    TypeError
        If an option is not of its type.
    ValueError
        If an option is negative or not finite; if `nesterov` has no momentum.

    See Also
    --------
    fastemb.scatter_add : the same for once, without an object: ``alpha=-lr``.

    Notes
    -----
    Defaults are those of ``torch.optim.SGD``. Without momentum the numbers are torch's, whose sparse gradients take
    neither momentum nor decay. Both are lazy here: a row without a gradient keeps its velocity and its weights, as if
    no step had been made. The state is ``momentum_buffer``, from zeros; torch's begins as the first gradient, which is
    the same as there is no ``dampening``. It is float32, of a float64 table float64.

    Examples
    --------
    >>> import numpy as np
    >>> from fastemb import SGD, row_grad
    >>> table = np.zeros((3, 2), np.float32)
    >>> optimizer = SGD(lr=0.5)
    >>> grad = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    >>> optimizer.step(table, row_grad([2, 0, 2], grad))
    array([[-1.5, -2. ],
           [ 0. ,  0. ],
           [-3. , -4. ]], dtype=float32)
    >>> optimizer.step_from(table, [2, 0, 2], grad)[2]
    array([-6., -8.], dtype=float32)
    """

    _RULE = ("lr", "momentum", "weight_decay", "nesterov")
    _OPTIONS = (*_RULE, "stochastic_rounding", "seed")

    def __init__(
        self, lr: float = 1e-3, *, momentum: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False,
        stochastic_rounding: bool = False, seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(lr, weight_decay, stochastic_rounding, seed)
        self.momentum = as_not_negative(momentum, "momentum")
        self.nesterov = _checks.as_flag(nesterov, "nesterov")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum, got momentum 0.0")

    @property
    def _STATE(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("momentum_buffer",) if self.momentum else ()

    def _update(self, state: dict[str, Array], step: int) -> Update:
        return _updates.sgd(state.get("momentum_buffer"), **self._numbers())


class Adagrad(_Optimizer):
    """Rates that fall with the squares of the gradients a row has met.

    Parameters
    ----------
    lr : float
        The rate of learning.
    lr_decay : float
        The rate of step n is ``lr / (1 + (n - 1) * lr_decay)``; all steps of this object count.
    weight_decay : float
        So many times a row is added to its gradient.
    initial_accumulator_value : float
        What the sums of squares begin with.
    eps : float
        Added to the root of the sums.
    row_wise : bool
        Keep one number for each row, the sum of the means of its squares, instead of one for each element.
    stochastic_rounding, seed
        As in `SGD`.

    Raises
    ------
    TypeError
        If an option is not of its type.
    ValueError
        If an option is negative or not finite.

    Notes
    -----
    Defaults are those of ``torch.optim.Adagrad``, and element-wise so are the numbers; with a sparse gradient torch
    refuses `weight_decay`, which is lazy here: rows without a gradient keep their weights. The state is ``sum``,
    (V, D), or (V,) with `row_wise`, float32 (of a float64 table float64).

    Examples
    --------
    >>> import numpy as np
    >>> from fastemb import Adagrad
    >>> table = np.zeros((3, 2), np.float32)
    >>> Adagrad(lr=0.5).step_from(table, [1], np.array([[2, -4]], np.float32))
    array([[ 0. ,  0. ],
           [-0.5,  0.5],
           [ 0. ,  0. ]], dtype=float32)
    """

    _RULE = ("lr", "lr_decay", "weight_decay", "eps")
    _OPTIONS = (*_RULE, "initial_accumulator_value", "row_wise", "stochastic_rounding", "seed")
    _STATE = ("sum",)

    def __init__(
        self, lr: float = 1e-2, *, lr_decay: float = 0.0, weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0, eps: float = 1e-10, row_wise: bool = False,
        stochastic_rounding: bool = False, seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(lr, weight_decay, stochastic_rounding, seed)
        self.lr_decay, self.eps = as_not_negative(lr_decay, "lr_decay"), as_not_negative(eps, "eps")
        self.initial_accumulator_value = as_not_negative(initial_accumulator_value, "initial_accumulator_value")
        self.row_wise = _checks.as_flag(row_wise, "row_wise")

    def _update(self, state: dict[str, Array], step: int) -> Update:
        return _updates.adagrad(state["sum"], step, **self._numbers())

    def _begin(self) -> float:
        return self.initial_accumulator_value

    def _shape_of(self, name: str, shape: tuple[int, int]) -> tuple[int, ...]:
        return shape[:1] if self.row_wise else shape


class Adam(_Optimizer):
    """Means of the gradients over the roots of the means of their squares, of the rows that have a gradient.

    Parameters
    ----------
    lr : float
        The rate of learning.
    betas : tuple of two floats
        What is kept of the mean and of the mean of squares, at each step that has a gradient for the row; from 0 on,
        below 1.
    eps : float
        Added to the root.
    weight_decay : float
        So many times a row is added to its gradient.
    stochastic_rounding, seed
        As in `SGD`.

    Raises
    ------
    TypeError
        If an option is not of its type.
    ValueError
        If an option is negative or not finite; if one of `betas` is not below 1.

    See Also
    --------
    AdamW : weights that decay by themselves.

    Notes
    -----
    The numbers are those of ``torch.optim.SparseAdam``, which has no decay, and the state has its names: ``exp_avg``
    and ``exp_avg_sq``, float32 (of a float64 table float64). It is lazy: means of rows without a gradient stay as they
    are, where ``torch.optim.Adam`` lets them fade and moves the rows; the bias is corrected by the number of all steps.
    `eps` is added before that correction, as SparseAdam does it::

        row -= lr * sqrt(1 - b2**n) / (1 - b1**n) * mean / (sqrt(square) + eps)

    Examples
    --------
    >>> import numpy as np
    >>> from fastemb import Adam
    >>> table = np.zeros((3, 2), np.float32)
    >>> optimizer = Adam(lr=0.5)
    >>> optimizer.step_from(table, [1, 1], np.array([[2, -4], [1, 1]], np.float32)).round(5)
    array([[ 0. ,  0. ],
           [-0.5,  0.5],
           [ 0. ,  0. ]], dtype=float32)
    >>> optimizer.lr = 0.1
    >>> sorted(optimizer.state_dict()["state"])
    ['exp_avg', 'exp_avg_sq']
    """

    _RULE = ("lr", "betas", "eps", "weight_decay")
    _OPTIONS = (*_RULE, "stochastic_rounding", "seed")
    _STATE = ("exp_avg", "exp_avg_sq")
    #: Whether weights decay by themselves, not by way of their gradients.
    _DECOUPLED = False

    def __init__(
        self, lr: float = 1e-3, *, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0.0, stochastic_rounding: bool = False, seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(lr, weight_decay, stochastic_rounding, seed)
        self.betas, self.eps = as_betas(betas), as_not_negative(eps, "eps")

    def _update(self, state: dict[str, Array], step: int) -> Update:
        means = state["exp_avg"], state["exp_avg_sq"]
        return _updates.adam(*means, step, decoupled=self._DECOUPLED, **self._numbers())


class AdamW(Adam):
    """`Adam`, whose rows shrink by themselves: ``row * (1 - lr * weight_decay)`` before each of its changes.

    Parameters
    ----------
    lr, betas, eps
        As in `Adam`.
    weight_decay : float
        What a row that has a gradient loses at each step, times `lr`.
    stochastic_rounding, seed
        As in `SGD`.

    Raises
    ------
    TypeError
        As `Adam`.
    ValueError
        As `Adam`.

    Notes
    -----
    Defaults are those of ``torch.optim.AdamW``, which takes no sparse gradients. Decay is lazy, as all else: rows
    without a gradient do not shrink.

    Examples
    --------
    >>> import numpy as np
    >>> from fastemb import AdamW
    >>> table = np.ones((2, 2), np.float32)
    >>> AdamW(lr=0.5, weight_decay=1.0).step_from(table, [1], np.zeros((1, 2), np.float32))
    array([[1. , 1. ],
           [0.5, 0.5]], dtype=float32)
    """

    _DECOUPLED = True

    def __init__(
        self, lr: float = 1e-3, *, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 1e-2, stochastic_rounding: bool = False, seed: int = 0,
    ) -> None:  # fmt: skip
        rest = {"stochastic_rounding": stochastic_rounding, "seed": seed}
        super().__init__(lr, betas=betas, eps=eps, weight_decay=weight_decay, **rest)  # type: ignore[arg-type]


# Steps, of arrays or views of them ---------------------------------------------------------------------------------


def _step(target: Array, ids: Any, rows: Any, check_finite: Any, optimizer: _Optimizer) -> Array:
    """Do a step; the parameters are named so that `_frameworks` knows which array is written to."""
    table = _as_table(target)
    given = _checks.as_ids(ids, "row_grad.ids")
    source = _checks.as_float_table(rows, "row_grad.rows")
    check = _checks.as_flag(check_finite, "check_finite")
    _checks.require_one_device(table=table, ids=given, rows=source)
    _require_changeable(table, optimizer)
    if len(given.shape) != 1 or source.shape != (*given.shape, table.shape[1]):
        both = f"row_grad must have ids of shape (U,) and rows of shape (U, {table.shape[1]})"
        raise ValueError(f"{both} for a table of {table.shape}, got {given.shape} and {source.shape}")
    _require_apart(optimizer, table, {"row_grad.ids": given, "row_grad.rows": source})
    update, state = optimizer._asked(table, check)
    _devices.optim(table).step(table, given, source, update)
    optimizer._made(table, state)
    return target


def _step_from(
    target: Array, ids: Any, grad: Array, padding_idx: Any, check_finite: Any, optimizer: _Optimizer
) -> Array:  # fmt: skip
    """Do a step from the gradients of what was looked up."""
    table = _as_table(target)
    ids = _frameworks.lists(ids, Ragged)
    given = ids.ids if isinstance(ids, Ragged) else _checks.as_ids(ids)
    source = _checks.as_float_table(grad, "grad")
    skip, check = _checks.as_padding(padding_idx), _checks.as_flag(check_finite, "check_finite")
    _checks.require_one_device(table=table, ids=given, grad=source)
    _require_changeable(table, optimizer)
    words = f" for ids of shape {given.shape} and a table of {table.shape}"
    _checks.require_shape(source, (*given.shape, table.shape[1]), "grad", words)
    _require_apart(optimizer, table, {"ids": given, "grad": source})
    update, state = optimizer._asked(table, check)
    _devices.optim(table).step_from(table, given, source, skip, update)
    optimizer._made(table, state)
    return target


def _view(array: Any) -> Any:
    """Return an array of a state as rooms see it: beside a table on a device it is one of the table's framework."""
    framework = None if type(array) is np.ndarray else _frameworks.of(array)
    return array if framework is None else framework.view(array, "target")


def _as_table(target: Any) -> Any:
    if _checks.is_quantized(target):
        raise TypeError("table is a quantised table, which no optimizer can change; give table.dequantize()")
    return _checks.as_float_table(target, "table")


def _require_changeable(table: Any, optimizer: _Optimizer) -> None:
    _checks.require_table_shape(table)
    optimizer._require_table(table)
    require_target(table, "table")


def _require_apart(optimizer: _Optimizer, table: Any, read: dict[str, Any]) -> None:
    """Refuse arrays of which one is written to while another is read, or both are: the state is written to as well."""
    for name, array in read.items():
        if _checks.may_share(table, array):
            raise ValueError(f"table overlaps {name} in memory")
    for part, state in optimizer._views().items():
        for name, array in {"table": table, **read}.items():
            if _checks.may_share(state, array):
                raise ValueError(f"{name} overlaps {part}, the optimizer's state, in memory")


def _parts_of(row_grad: Any) -> tuple[Any, Any]:
    """Return ids and rows."""
    if isinstance(row_grad, tuple) and len(row_grad) == 2:
        ids, rows = row_grad
        return ids, rows
    raise TypeError(f"row_grad must be a RowGrad(ids, rows), got {type_name(row_grad)}; step_from takes ids and grad")


# Options and states ------------------------------------------------------------------------------------------------


_KEYS = ("optimizer", "step", "options", "shape", "dtype", "state")


def _checked(kind: type[Kind], told: Any) -> Kind:
    """Return a new optimizer with the options, the steps and copies of the state of a `state_dict`, all checked."""
    if not isinstance(told, Mapping):
        raise TypeError(f"state_dict must be a dict, got {type_name(told)}")
    require_keys(told, _KEYS, "state_dict")
    if told["optimizer"] != kind.__name__:
        raise ValueError(f"state_dict is that of {shown(told['optimizer'])}, and this is {kind.__name__}")
    for name in ("options", "state"):
        if not isinstance(told[name], Mapping):
            raise TypeError(f"state_dict[{name!r}] must be a dict, got {type_name(told[name])}")
    require_keys(told["options"], kind._OPTIONS, "state_dict['options']")
    made = kind(**told["options"])
    made._steps = as_count(told["step"], "state_dict['step']")
    if told["shape"] is None and told["dtype"] is None and not told["state"] and not made._steps:
        return made
    made._table = as_table_shape(told["shape"]), as_table_dtype(told["dtype"])
    shape, dtype = made._table
    require_keys(told["state"], made._STATE, "state_dict['state']")
    wanted = np.dtype(np.float64 if dtype.itemsize == 8 else np.float32)
    for name in made._STATE:
        array = _checks.as_numbers(told["state"][name], name)
        if array.dtype != wanted or array.shape != made._shape_of(name, shape):
            must = f"dtype {wanted} and shape {made._shape_of(name, shape)} for a table of {shape} {dtype}"
            raise ValueError(f"state_dict['state'][{name!r}] must have {must}, got {array.dtype} and {array.shape}")
        made._arrays[name] = np.array(array, wanted, order="C")
    return made
