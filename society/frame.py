"""The frame of a scenario: which keys exist, what they hold, and what they default to.

Everything here is frozen and plain. What a component's own parameters are is not said
here but by its class (``society.components``).
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from society.claims import Validation
from society.components import Component, Context, Of, component_of, model_of, params_of
from society.params import (
    Checked,
    Named,
    Number,
    Plain,
    Strict,
    Text,
    Whole,
    as_list,
    details,
    fail,
    fail_at,
)
from society.tables import Table, read_table, table_of_rows
from worlds.framing import Framing

__all__ = [
    "Frame",
    "GraphSpec",
    "GroupSpec",
    "InterventionSpec",
    "Limits",
    "Question",
    "Record",
    "SurveySpec",
    "Sweep",
    "Who",
]

Count = Annotated[Whole, Field(ge=0)]
Positive = Annotated[Whole, Field(ge=1)]
Seed = Annotated[Whole, Field(ge=0, lt=2**32)]
_AT = "a step, a list of steps, start, end, {every: k} or {generation: g, step: s}"


class Who(Strict):
    """Some individuals: of a group, with attribute values, so many, chosen so."""

    group: Text | None = Field(None, description="a group; all of them when left out")
    where: dict[str, Plain] = Field({}, description="attribute values they must have")
    number: Positive | None = Field(None, description="how many of them; all when left out")
    by: Literal["random", "degree"] = Field("random", description="how those are chosen")


class Every(Strict):
    """Every so many steps."""

    every: Positive


class Instant(Strict):
    """A step of a generation."""

    generation: Count
    step: Count = 0


def _at(value: Any, info: ValidationInfo) -> Any:
    if value in ("start", "end"):
        return value
    if isinstance(value, Mapping):
        model = Every if "every" in value else Instant
        return model.model_validate(value).model_dump(exclude_unset=True)
    if isinstance(value, list | tuple):
        if not value:
            raise fail("the list of steps is empty")
        return tuple(_step(item) for item in value)
    return _step(value)


def _step(value: Any) -> int:
    whole = isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)
    if not whole or value < 0:
        raise fail(f"{value!r} is no time; write {_AT}")
    return int(value)


def _whom(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, str):
        return value
    return Who.model_validate(value).model_dump(exclude_unset=True)


At = Annotated[
    Any,
    Checked(
        _at,
        {
            "if": {"type": "string"},
            "then": {"enum": ["start", "end"]},
            "else": {"type": ["integer", "array", "object"]},
        },
    ),
]
Whom = Annotated[Any, Checked(_whom, {"$component": "who"})]


class Beside(Strict):
    """A component with keys of the frame beside its parameters."""

    component: Annotated[Component, Checked(lambda value, info: value)]


class With(Checked):
    """Metadata of ``Annotated[Spec, With(Spec, kind)]``: a component and the keys beside it."""

    def __init__(self, model: type[Beside], kind: str, default_use: str = "") -> None:
        super().__init__(self._check, {"$component": kind})
        self.model, self.kind, self.default_use = model, kind, default_use

    def _check(self, value: Any, info: ValidationInfo) -> Any:
        context = info.context or Context()
        if not isinstance(value, Mapping):
            component = component_of(self.kind, value, context)
            return self.model.model_validate({"component": component}, context=context)
        value = {"use": self.default_use, **value} if self.default_use else dict(value)
        names = [name for name in self.model.model_fields if name != "component"]
        own = {name: value[name] for name in names if name in value}
        shared = _parameters(self.kind, value.get("use"), context)
        rest = {name: value[name] for name in value if name not in names or name in shared}
        errors = []
        component = Component(self.kind, "")
        try:
            component = component_of(self.kind, rest, context)
        except ValidationError as error:
            errors += details(error)
        try:
            found = self.model.model_validate({"component": component, **own}, context=context)
        except ValidationError as error:
            seen = [item.get("loc") for item in errors]
            errors += [item for item in details(error) if item.get("loc") not in seen]
        if errors:
            raise ValidationError.from_exception_data(self.kind, errors)
        return found


def _parameters(kind: str, use: Any, context: Context) -> set[str]:
    """Names of the parameters of a component, none where it is unknown."""
    try:
        return {param.name for param in params_of(Component(kind, use, context=context).load())}
    except (PydanticCustomError, TypeError):
        return set()


class GraphSpec(Beside):
    """Who is tied to whom."""

    assign: Literal["shuffled", "in_order"] | None = Field(
        None, description="how nodes are seated on slots; the rule's own way when left out"
    )
    seed: Seed | None = Field(None, description="one graph for all replicates")
    rewire: Annotated[Component, Of("rewire")] | None = Field(
        None, description="how ties change during the run"
    )
    attach: Annotated[Component, Of("attach")] | None = Field(
        None, description="how newcomers of a generation get ties; their slot's when left out"
    )

    @property
    def rule(self) -> Component:
        """The graph rule."""
        return self.component


class InterventionSpec(Beside):
    """Something done to the society at given times."""

    at: At = Field(description=_AT)
    who: Whom = Field("everyone", description="a group, everyone, or {group, where, number, by}")


class Question(Strict):
    """One question of a survey."""

    id: Text
    ask: Text
    options: Annotated[tuple[Text, ...], BeforeValidator(as_list)] | None = None


def _questions(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, str):
        return value
    asked = as_list(value)
    if not asked:
        raise fail("the list of questions is empty")
    errors, seen = [], set()
    for index, item in enumerate(asked):
        try:
            question = Question.model_validate(item)
        except ValidationError as error:
            errors += details(error, (index,))
            continue
        if question.id in seen:
            errors += details(fail_at((index, "id"), f"the id {question.id!r} appears twice"))
        seen.add(question.id)
    if errors:
        raise ValidationError.from_exception_data("questions", errors)
    return tuple(Question.model_validate(item) for item in asked)


class SurveySpec(Strict):
    """Questions asked aside, remembered by nobody."""

    at: At = Field(description=_AT)
    who: Whom = Field("everyone", description="whom to ask")
    questions: Annotated[
        str | tuple[Question, ...], Checked(_questions, {"type": ["string", "array", "object"]})
    ] = Field(description="a list of {id, ask, options}, or the name of a set of questions")


class Record(Strict):
    """What a run keeps; outside the scenario hash."""

    every: Positive = Field(1, description="steps between rows of metrics")
    frames_every: Positive | None = Field(None, description="steps between pictures")
    fields: Annotated[tuple[Text, ...], BeforeValidator(as_list)] = Field(
        (), description="metrics to keep, * and ? allowed, and lineage; all when empty"
    )


class Limits(Strict):
    """Where a run stops by itself; outside the scenario hash."""

    calls: Count | None = Field(None, description="calls to language models")
    tokens: Count | None = Field(None, description="prompt and completion tokens")
    cost_usd: Annotated[Number, Field(ge=0)] | None = Field(None, description="US dollars")
    wall_s: Annotated[Number, Field(gt=0)] | None = Field(None, description="seconds")
    max_fallback_rate: Annotated[Number, Field(ge=0, le=1)] = Field(
        0.05, description="share of unreadable answers above which the run has failed"
    )


def _variants(value: Any, info: ValidationInfo) -> tuple[str, ...]:
    if value == "standard":
        return ("standard",)
    if isinstance(value, str):
        raise fail(f"{value!r} is neither standard nor a list of names; write [{value}]")
    names = as_list(value)
    for index, name in enumerate(names):
        if not isinstance(name, str):
            raise fail_at((index,), f"expected a name, not {name!r}")
    return names


_VARIANTS = {"type": ["string", "array"]}


class Sweep(Strict):
    """Which runs make a study; ``run`` ignores it."""

    factors: dict[str, Any] = Field({}, description="path: list, {label: value} or {low, high}")
    conditions: dict[str, Any] = Field({}, description="name: {path: value}")
    method: Literal["grid", "random", "latin", "sobol", "morris", "saltelli"] = Field(
        "grid", description="all combinations, points drawn between low and high, or a design"
    )
    samples: Positive | None = Field(None, description="points (of a design: its base size)")
    nulls: Annotated[tuple[str, ...], Checked(_variants, _VARIANTS)] = Field(
        (), description="null models that are added as conditions: standard, or a list"
    )
    robustness: Annotated[tuple[str, ...], Checked(_variants, _VARIANTS)] = Field(
        (), description="framings that are added as conditions: standard, or a list"
    )


def _table(value: Any, info: ValidationInfo) -> Table:
    if isinstance(value, Table):
        return value
    context = info.context or Context()
    try:
        if isinstance(value, str):
            return read_table(context.folders, value)
        if isinstance(value, list | tuple):
            return table_of_rows(value)
    except ValueError as error:
        raise fail(str(error)) from None
    raise fail("expected a file name or a list of rows")


def _attribute(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, Mapping):
        found = component_of("distribution", value, info.context or Context())
        try:
            found.build().check_params()
        except ValueError as error:
            raise fail(str(error)) from None
        return found
    if isinstance(value, bool | int | float | str):
        return value
    raise fail("expected a constant, or a distribution such as {use: cycle, values: [...]}")


def _size(value: Any, info: ValidationInfo) -> Any:
    if value == "rest":
        return value
    if isinstance(value, str):
        raise fail(f"the text {value!r} is no count; write a whole number without quotes, or rest")
    return _bare(_Size, "count", value)


class _Size(Strict):
    count: Count


class GroupSpec(Strict):
    """Individuals with one kind of mind."""

    policy: Annotated[Component, Of("policy")] = Field(description="how they decide")
    learner: Annotated[Component, Of("learner")] | None = Field(
        None, description="how they are trained; never when left out"
    )
    count: (
        Annotated[
            int | Literal["rest"],
            Checked(
                _size,
                {
                    "if": {"type": "string"},
                    "then": {"enum": ["rest"]},
                    "else": {"type": "integer", "minimum": 0},
                },
            ),
        ]
        | None
    ) = Field(None, description="how many; rest fills population; the table's rows; otherwise 1")
    capacity: Positive | None = Field(None, description="slots kept, for births")
    role: Text | None = Field(None, description="which seats they take, where seats differ")
    attributes: dict[str, Annotated[Any, Checked(_attribute, {"$component": "attribute"})]] = Field(
        {}, description="column: a constant or a distribution"
    )
    table: Annotated[Table, Checked(_table, {"type": ["string", "array"]})] | None = Field(
        None, description="CSV, JSON or Parquet file, or rows: one individual each"
    )
    draw: Literal["in_order", "without_replacement", "with_replacement"] = Field(
        "in_order", description="how individuals are drawn from the table"
    )
    weight: Text | None = Field(None, description="column of the table with sampling weights")

    @model_validator(mode="after")
    def _fits(self) -> "GroupSpec":
        if self.table is None:
            if self.weight is not None:
                raise fail_at(("weight",), "names a column of a table, but there is no table")
            return self
        if self.weight is not None:
            _check_weight(self.table, self.weight)
            if self.draw == "in_order":
                raise fail_at(("weight",), "needs draw: with_replacement or without_replacement")
        rows = len(self.table)
        if isinstance(self.count, int) and self.count > rows and self.draw != "with_replacement":
            raise fail_at(
                ("count",),
                f"{self.count} individuals, but the table has {rows} rows; "
                "lower count or write draw: with_replacement",
            )
        both = [name for name in self.attributes if name in self.table.columns]
        if both:
            raise fail_at(("attributes", both[0]), "is a column of the table too; rename one")
        return self


def _check_weight(table: Table, weight: str) -> None:
    if weight not in table.columns:
        raise fail_at(
            ("weight",), f"the table has no column {weight!r}; it has {', '.join(table.columns)}"
        )
    values = table.columns[weight]
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if not numbers or min(values) < 0 or sum(values) <= 0:
        raise fail_at(("weight",), f"column {weight!r} must hold numbers of 0 or more, not all 0")


def _framing(value: Any, info: ValidationInfo) -> Framing:
    if isinstance(value, Framing):
        return value
    return Framing(**model_of(Framing).model_validate(value, context=info.context).given())


class _Seeds(Strict):
    seeds: Positive


class _SeedList(Strict):
    seeds: Annotated[tuple[Seed, ...], BeforeValidator(as_list)]


def _seeds(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, list | tuple):
        return _bare(_Seeds, "seeds", value)
    if not value:
        raise fail("the list of seeds is empty")
    seeds = _bare(_SeedList, "seeds", value)
    if len(set(seeds)) < len(seeds):
        raise fail("a seed appears twice")
    return seeds


def _bare(model: type[Strict], field: str, value: Any) -> Any:
    """Check a value by a model with one field."""
    try:
        return getattr(model.model_validate({field: value}), field)
    except ValidationError as error:
        found = details(error)
        for item in found:
            item["loc"] = item.get("loc", ())[1:]  # without the name of the one field
        raise ValidationError.from_exception_data(field, found) from None


class Frame(Strict):
    """Everything that decides a result, as one file says it."""

    about: Text = Field("", description="what this scenario shows; the first line is listed")
    version: Literal[1] = Field(1, description="schema version")
    world: Annotated[Component, Of("world")] = Field(description="bodies and rules")
    groups: Annotated[dict[str, GroupSpec], Named] = Field(
        description="who lives here; file order is slot order"
    )
    population: Positive | None = Field(None, description="total, beside a group with count: rest")
    graph: Annotated[GraphSpec, With(GraphSpec, "graph", "complete")] | None = Field(
        None, description="who is tied to whom"
    )
    channels: Annotated[dict[str, Annotated[Component, Of("channel")]], Named] = Field(
        {}, description="how messages travel"
    )
    backend: Annotated[Component, Of("backend")] | None = Field(
        None, description="who answers for language policies that name no backend"
    )
    backends: Annotated[dict[str, Annotated[Component, Of("backend", references=False)]], Named] = (
        Field({}, description="configured backends, by name")
    )
    framing: Annotated[Framing, Checked(_framing, {"$component": "framing"})] = Field(
        Framing(), description="how the world is told"
    )
    steps: Positive | None = Field(None, description="steps of a generation")
    episodes: Positive | None = Field(None, description="episodes of a generation")
    generations: Positive = Field(1, description="generations of the run")
    selection: Annotated[Component, Of("selection")] | None = Field(
        None, description="who copies whom at the end of a generation"
    )
    transmission: Annotated[Component, Of("transmission")] | None = Field(
        None, description="what passes at births and between generations"
    )
    num_envs: Positive = Field(1, description="worlds side by side that feed one learner")
    seeds: Annotated[
        int | tuple[int, ...],
        Checked(
            _seeds,
            {
                "if": {"type": "array"},
                "then": {"items": {"type": "integer", "minimum": 0}, "minItems": 1},
                "else": {"type": "integer", "minimum": 1},
            },
        ),
    ] = Field(1, description="n for seeds 0..n-1, or a list: one replicate each")
    interventions: Annotated[
        dict[str, Annotated[InterventionSpec, With(InterventionSpec, "intervention")]], Named
    ] = Field({}, description="what is done to the society, and when")
    surveys: Annotated[dict[str, SurveySpec], Named] = Field(
        {}, description="questions asked aside, remembered by nobody"
    )
    measures: Annotated[
        tuple[Annotated[Component, Of("measure")], ...], BeforeValidator(as_list)
    ] = Field((), description="added to the world's own measures")
    record: Record = Field(
        default_factory=lambda: Record.model_validate({}), description="what a run keeps"
    )
    limits: Limits = Field(
        default_factory=lambda: Limits.model_validate({}), description="where a run stops by itself"
    )
    repro: Literal["strict", "fast"] = Field(
        "strict", description="strict: a seed gives the same bits alone or with others"
    )
    sweep: Sweep | None = Field(None, description="which runs make a study; run ignores it")
    validation: Validation | None = Field(
        None, description="what is claimed, and the patterns by which to judge it"
    )
