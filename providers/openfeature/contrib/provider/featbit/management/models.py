"""What the management API speaks of, as values. Members we do not know are ignored."""

from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from openfeature.contrib.provider.featbit import timestamps
from openfeature.contrib.provider.featbit.management.errors import ManagementError

Json = dict[str, Any]
Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]
"""Text that FeatBit sometimes sends as null."""
Texts = Annotated[
    list[str], BeforeValidator(lambda value: [] if value is None else value)
]
Objects = Annotated[
    list[Json], BeforeValidator(lambda value: [] if value is None else value)
]


def _dated(stamp: str) -> str:
    timestamps.version(stamp)
    return stamp


Stamp = Annotated[str, AfterValidator(_dated)]
"""An ISO 8601 time with an offset."""


class Wire(BaseModel):
    """One object of the API: camelCase there, snake_case here."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    def document(self) -> Json:
        """Return the object as the API spells it, a copy."""
        return self.model_dump(by_alias=True)


class Secret(Wire):
    """One secret of an environment; *value* shows only when asked for."""

    id: str = ""
    name: Text = ""
    type: str
    value: SecretStr


class Environment(Wire):
    """One environment. *server_secret* is what an SDK on a server connects with."""

    id: str
    key: Text = ""
    name: Text = ""
    description: Text = ""
    secrets: list[Secret] = Field(default_factory=list)

    @property
    def server_secret(self) -> SecretStr | None:
        """Return the first secret of type ``server``, None if the token sees none."""
        return next((one.value for one in self.secrets if one.type == "server"), None)


class Project(Wire):
    """One project with the environments that the token may see."""

    id: str
    key: str
    name: Text = ""
    environments: list[Environment] = Field(default_factory=list)


class Variation(Wire):
    """One value that a flag can serve; *value* is always text."""

    model_config = ConfigDict(extra="allow")  # it is sent back whole

    id: str
    name: Text = ""
    value: str


class FlagSummary(Wire):
    """One flag of a list: without its revision and targeting."""

    id: str
    key: str
    name: Text = ""
    description: Text = ""
    is_enabled: bool = False
    variation_type: Text = ""
    tags: Texts = Field(default_factory=list)
    updated_at: Text = ""


class ManagedFlag(Wire):
    """One flag, whole: its *revision* guards a change, its JSON members stay JSON.

    `authoring.rule` and its neighbours build the rules. Change a flag with
    ``flag.model_copy(update={"rules": [...]})``; it is checked when it is sent.
    """

    id: str
    key: str
    revision: str
    name: Text = ""
    description: Text = ""
    env_id: Text = ""
    variation_type: str
    variations: list[Variation]
    target_users: Objects = Field(default_factory=list)
    rules: Objects = Field(default_factory=list)
    fallthrough: Json
    is_enabled: bool
    disabled_variation_id: Text = ""
    expt_include_all_targets: bool = True
    tags: Texts = Field(default_factory=list)
    is_archived: bool = False
    updated_at: Stamp

    @property
    def version(self) -> int:
        """Return ``updatedAt`` in milliseconds, the version that the SDKs see."""
        return timestamps.version(self.updated_at)

    @property
    def token(self) -> str:
        """Return what a provider's ``catch_up`` waits for: ``<key>@<version>``."""
        return f"{self.key}@{self.version}"

    def targeting(self) -> Json:
        """Return who is served what, the whole object that a change replaces."""
        whole = self.document()
        return {name: whole[name] for name in TARGETING}


TARGETING = (
    "targetUsers",
    "rules",
    "fallthrough",
    "exptIncludeAllTargets",
    "disabledVariationId",
)
"""The members of a targeting. FeatBit 6 takes the off variation from it, 5.4 not."""


class NewFlag(Wire):
    """A flag to create: its fallthrough serves *enabled_variation_id* to everyone."""

    key: str
    name: str
    description: str = ""
    variation_type: str
    variations: list[Variation]
    enabled_variation_id: str
    disabled_variation_id: str
    tags: list[str] = Field(default_factory=list)
    is_enabled: bool = False


class SegmentSummary(Wire):
    """One segment of a list."""

    id: str
    key: Text = ""
    name: Text = ""
    type: Text = ""
    updated_at: Text = ""


class ManagedSegment(Wire):
    """One segment, whole. It has no revision: *updated_at* stands in for one."""

    id: str
    key: Text = ""
    name: Text = ""
    description: Text = ""
    type: Text = ""
    scopes: Texts = Field(default_factory=list)
    included: Texts = Field(default_factory=list)
    excluded: Texts = Field(default_factory=list)
    rules: Objects = Field(default_factory=list)
    tags: Texts = Field(default_factory=list)
    is_archived: bool = False
    updated_at: Stamp

    @property
    def version(self) -> int:
        """Return ``updatedAt`` in milliseconds."""
        return timestamps.version(self.updated_at)

    @property
    def token(self) -> str:
        """Return ``<id>@<version>``."""
        return f"{self.id}@{self.version}"


class NewSegment(Wire):
    """A segment to create; *scopes* name its environment, see FeatBit's manual."""

    key: str
    name: str
    scopes: list[str]
    description: str = ""
    type: str = "environment-specific"


class FlagReference(Wire):
    """One flag that refers to a segment."""

    env_id: Text = ""
    id: str
    key: str
    name: Text = ""


class Written(BaseModel):
    """Tell how a write ended, from a read after it.

    *changed* is False where everything was so already. *confirmed* is False where the
    read shows something else than was written: see *notes*. *token* is what a
    provider's ``catch_up`` waits for.
    """

    model_config = ConfigDict(frozen=True)

    revision: str
    changed: bool
    confirmed: bool
    token: str
    notes: tuple[str, ...] = ()


W = TypeVar("W", bound=Wire)


def read(model: type[W], data: object, where: str) -> W:
    """Return *data* as a *model*.

    Raises:
        ManagementError: when members are missing or of another type; it names them.

    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        places = {
            ".".join(map(str, one["loc"])) or model.__name__ for one in error.errors()
        }
        problem = f"unexpected answer: check {', '.join(sorted(places))}"
        raise ManagementError(f"{where}: {problem}") from None
