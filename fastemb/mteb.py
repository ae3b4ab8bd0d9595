"""A model as MTEB's benchmarks ask for it: `StaticModelEncoder`, with the extra ``fastemb[mteb]``."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from ._neighbours import DOCUMENT, QUERY, UNNAMED, as_model, needs, written_down
from ._words import shown, type_name
from .quantized import QuantizedTable

try:
    from mteb import get_tasks
    from mteb.abstasks.task_metadata import TaskType
    from mteb.models.abs_encoder import AbsEncoder
    from mteb.models.model_meta import ModelMeta, ScoringFunction
    from mteb.types import PromptType
except ModuleNotFoundError as error:
    raise needs(error, "mteb", "mteb") from None

__all__ = ["StaticModelEncoder"]


class StaticModelEncoder(AbsEncoder):
    """An encoder of MTEB by a `fastemb.StaticModel`: for ``mteb.evaluate``.

    Parameters
    ----------
    model : path-like, StaticModel, tuple of (Tokenizer, table) or None, default None
        What `fastemb.StaticModel.load` takes, which reads it at once; or a model; or a tokenizer and its table. None:
        the model that `fastemb.StaticModel.load` takes itself.
    revision : str, optional
        What MTEB files results under, below the name. None: a digest of the model's contents, so that results of one
        model are never taken for another's.
    device : str, optional
        None or "cpu".
    name : str, optional
        The name under which results are filed, ``organization/model``. None: ``fastemb/`` and the end of the path.
    normalize : bool, optional
        Scale every vector to length one; a zero vector stays zero. None: as the model's config says, else no. Cosines,
        by which MTEB compares, are the same.
    prompts : dict of str to str, optional
        What stands before texts, by the name of a task, of a type of tasks, of ``"query"`` or ``"document"``, or of a
        task or type with one of these behind a hyphen. "passage" and "corpus" are taken for "document". None: the
        model's own prompts.
    dim : int, optional
        Keep the first `dim` columns of the table, without a copy.

    Attributes
    ----------
    model : StaticModel
    mteb_model_meta : mteb.models.model_meta.ModelMeta
        What MTEB writes beside results.

    Raises
    ------
    TypeError, ValueError
        A parameter is of a wrong type, or none of those above.
    FileNotFoundError
        There is no such model.

    Warns
    -----
    UserWarning
        MTEB knows none of the names of a prompt that was given, which then stands before no text, unless you have
        written a task of that name.

    Notes
    -----
    MTEB hands texts over in batches of a loader. All of a task's are encoded together, so that ``batch_size`` changes
    nothing; where the loader only cuts a dataset into batches, in order, the texts are taken from that dataset, as
    cutting takes longer than encoding.

    Examples
    --------
    >>> from fastemb.mteb import StaticModelEncoder
    >>> encoder = StaticModelEncoder(name="me/mine")
    >>> encoder.mteb_model_meta.name, encoder.mteb_model_meta.embed_dim
    ('me/mine', 128)
    """

    def __init__(
        self,
        model: Any = None,
        revision: str | None = None,
        *,
        device: str | None = None,
        name: str | None = None,
        normalize: bool | None = None,
        prompts: dict[str, str] | None = None,
        dim: int | None = None,
    ) -> None:
        if device not in (None, "cpu"):
            raise ValueError(f"device must be None or 'cpu', got {shown(device)}")
        check_names(name, revision)
        check_prompts(prompts)
        self.model = as_model(model, dim)
        self.model_prompts = as_looked_up(self.model.prompts if prompts is None else prompts)
        warn_of_unknown(prompts or {})
        self._normalize = normalize
        width = len(self.model.encode("", normalize=normalize))
        table, asked = self.model.table, {"normalize": normalize, "prompts": prompts, "dim": dim}
        (rows, columns), size = table.shape, table.codes.nbytes if isinstance(table, QuantizedTable) else table.nbytes
        digest = written_down(self.model) or ""
        if name is None:
            last = (written_down(model) or "default").rstrip("/").rpartition("/")[2]
            name = f"fastemb/{'StaticModel' if last.startswith(UNNAMED) else last}"
        self.mteb_model_meta = ModelMeta.create_empty(
            {
                "name": name,
                "revision": digest.removeprefix(UNNAMED)[:16] if revision is None else revision,
                "framework": ["NumPy"],
                "embed_dim": width,
                "max_tokens": self.model._max_length,
                "n_parameters": rows * columns,
                "n_embedding_parameters": rows * columns,
                "memory_usage_mb": size / 2**20,
                "similarity_fn_name": ScoringFunction.COSINE,
                "use_instructions": bool(self.model_prompts),
                # What changes results beside the contents of the model: MTEB files them apart.
                "experiment_kwargs": {key: value for key, value in asked.items() if value is not None} or None,
            }
        )

    def encode(
        self,
        inputs: Any,
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        prompt_type: Any = None,
        **kwargs: Any,
    ) -> npt.NDArray[np.float32]:
        """Return one vector for each text of a loader.

        Parameters
        ----------
        inputs : torch.utils.data.DataLoader
            Batches, each a dict with a list ``"text"``.
        task_metadata : mteb.abstasks.task_metadata.TaskMetadata
            The task, whose name and type may have a prompt.
        hf_split, hf_subset : str
            Ignored.
        prompt_type : mteb.types.PromptType, optional
            Whether texts are queries or documents.
        **kwargs
            ``batch_size`` and ``show_progress_bar`` are ignored.

        Returns
        -------
        ndarray of float32, shape (N, D)

        Raises
        ------
        TypeError
            What is given for texts is none, or no list.
        ValueError
            A batch has no texts, but images or sound.
        """
        name = self.get_prompt_name(task_metadata, prompt_type)
        prompt = None if name is None else self.model_prompts[name]
        vectors: npt.NDArray[np.float32] = self.model.encode(texts_of(inputs), prompt=prompt, normalize=self._normalize)
        return vectors


def check_names(name: Any, revision: Any) -> None:
    """Refuse what no folder of results can be called."""
    for value, called in ((name, "name"), (revision, "revision")):
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{called} must be a str or None, got {type_name(value)}")
        if value == "":
            raise ValueError(f"{called} is empty; give None for one that is made")


def check_prompts(prompts: Any) -> None:
    """Refuse what is no dict of texts."""
    pairs = prompts.items() if isinstance(prompts, dict) else [(prompts, None)]
    if prompts is not None and not all(isinstance(text, str) for pair in pairs for text in pair):
        raise TypeError(f"prompts must be a dict of str to str, got {shown(prompts)}")


def as_looked_up(prompts: Mapping[str, str]) -> dict[str, str]:
    """Return prompts under the names that MTEB looks up, which has "document" alone for documents."""
    prompts = dict(prompts)
    for names in (QUERY, DOCUMENT):
        found = [prompts[name] for name in names if name in prompts]
        prompts.update(dict.fromkeys(names[:1], found[0]) if found else {})
    return prompts


def warn_of_unknown(prompts: Mapping[str, str]) -> None:
    """Warn of prompts that no task of MTEB asks for: a name that is misspelled changes no vector."""
    uses = tuple(str(use.value) for use in PromptType)
    ends = tuple(f"-{use}" for use in uses)
    names = {name: name.rpartition("-")[0] if name.endswith(ends) else name for name in prompts}
    known = {*uses, *QUERY, *DOCUMENT, *get_args(TaskType)}
    unknown = {name for name, task in names.items() if task not in known}
    if unknown:
        tasks = {task.metadata.name for task in get_tasks(exclude_superseded=False)}
        unknown = {name for name in unknown if name not in tasks and names[name] not in tasks}
    if unknown:
        warnings.warn(
            f"prompts: MTEB has no task, type of tasks or use called {', '.join(map(repr, sorted(unknown)))}; "
            "such a prompt stands before no text but those of a task of your own of that name",
            stacklevel=3,
        )


def texts_of(inputs: Any) -> list[str]:
    """Return all texts of a loader: from its dataset, where each batch would be the next stretch of that."""
    dataset = getattr(inputs, "dataset", None)
    if (
        "text" in getattr(dataset, "column_names", ())
        and type(inputs.sampler).__name__ == "SequentialSampler"
        and getattr(inputs.batch_sampler, "sampler", None) is inputs.sampler  # one that was given has its own order
        and not inputs.drop_last
        and inputs.collate_fn.__module__.startswith(("mteb.", "torch."))  # which change no text
    ):
        return list(inputs.dataset["text"][:])  # sliced at once: one by one takes longer than encoding
    texts: list[str] = []
    for batch in inputs:
        if not isinstance(batch, Mapping):
            raise TypeError(f"a batch must be a dict with a list of texts, got {type_name(batch)}")
        if "text" not in batch:
            raise ValueError(f"a StaticModel encodes texts, got a batch of {', '.join(batch) or 'nothing'}")
        found = batch["text"]
        if isinstance(found, bytes) or not isinstance(found, Iterable):
            raise TypeError(f"a batch must have a list of texts, got {type_name(found)}")
        texts.extend([found] if isinstance(found, str) else found)  # one text: of a loader without batches
    return texts
