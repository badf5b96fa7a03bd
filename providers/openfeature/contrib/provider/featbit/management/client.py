"""`ManagementClient`: change one FeatBit with one access token.

Every change needs a reason, is checked before it is sent, and is read again after it:
a 200 does not prove what is there now, nor a 500 that nothing changed. It is sent again
only where that does no harm: a toggle, or what a revision guards.
"""

from collections.abc import Iterable, Sequence
from uuid import uuid4

from openfeature.contrib.provider.featbit.management import checks
from openfeature.contrib.provider.featbit.management.difference import difference
from openfeature.contrib.provider.featbit.management.errors import (
    ManagementError,
    MissingError,
    NoAnswerError,
    RefusedError,
)
from openfeature.contrib.provider.featbit.management.models import (
    ManagedFlag,
    NewFlag,
    Variation,
    Written,
    read,
)
from openfeature.contrib.provider.featbit.management.reader import flag_path, flags_path
from openfeature.contrib.provider.featbit.management.segments import SegmentClient


class ManagementClient(SegmentClient):
    """Read and change flags and segments. Thread-safe; lives as long as you like.

    *api_url* is that of the api-server, *token* an access token (``api-...``), and
    *timeout_s* bounds each request as a whole.

    Raises:
        RefusedError: *api_url* is not https (loopback may be http, others only with
            *allow_insecure*), or *token* cannot be one.

    """

    def create_flag(self, env_id: str, new: NewFlag, *, reason: str) -> ManagedFlag:
        """Create a flag, off at first, and return it.

        FeatBit takes no reason for a creation: a description with the reason follows,
        and then, if the flag is to be on, a toggle with it.

        Raises:
            RefusedError: *new* or *reason* is not valid, or the key is taken.
            ManagementError: as its subclasses tell; the flag may exist, off.

        """
        comment = checks.reason(reason)
        checks.new_flag(new)
        with self._creating:
            if self.listed(env_id, new.key):
                raise RefusedError(f'flag "{new.key}" exists already, live or archived')
            made = self._created(env_id, new)
        text = new.description or comment
        self.set_description(env_id, new.key, text, reason=comment)
        if new.is_enabled:
            self.toggle(env_id, new.key, True, reason=comment)
        return self.flag(env_id, new.key) or made

    def _created(self, env_id: str, new: NewFlag) -> ManagedFlag:
        path = flags_path(env_id)
        body = {**new.document(), "isEnabled": False, "description": ""}
        try:
            made = read(ManagedFlag, self._http.write("POST", path, body), path)
        except NoAnswerError as lost:
            return self._after_lost_creation(env_id, new, lost)
        if len(self.listed(env_id, new.key)) > 1:
            raise ManagementError(
                f'flag "{new.key}" exists twice: somebody else created it at the same'
                " moment; archive one of them in FeatBit's console"
            )
        return made

    def _after_lost_creation(
        self, env_id: str, new: NewFlag, lost: NoAnswerError
    ) -> ManagedFlag:
        found = self.flag(env_id, new.key)
        if found is None:
            raise lost
        wanted = [one.document() for one in new.variations]
        if difference(wanted, [one.document() for one in found.variations]):
            raise ManagementError(
                f'{lost}; flag "{new.key}" exists now with other variations: somebody'
                " else created it"
            )
        return found

    def toggle(self, env_id: str, key: str, enabled: bool, *, reason: str) -> Written:
        """Turn a flag on or off. Off is the kill switch: sent until it holds, thrice.

        Raises:
            ManagementError: as its subclasses tell.

        """
        action = f"toggle/{'true' if enabled else 'false'}"
        before = self._there(env_id, key)
        wanted = {"isEnabled": enabled}
        return self._change(
            env_id,
            before,
            action,
            {},
            wanted,
            reason=reason,
            again=True,
            insists=not enabled,
        )

    def archive(self, env_id: str, key: str, *, reason: str) -> Written:
        """Archive a flag: the SDKs no longer serve it.

        Raises:
            ManagementError: as its subclasses tell.

        """
        before, wanted = self._there(env_id, key), {"isArchived": True}
        return self._change(
            env_id, before, "archive", {}, wanted, reason=reason, again=True
        )

    def restore(self, env_id: str, key: str, *, reason: str) -> Written:
        """Bring an archived flag back.

        Raises:
            ManagementError: as its subclasses tell.

        """
        before, wanted = self._there(env_id, key), {"isArchived": False}
        return self._change(
            env_id, before, "restore", {}, wanted, reason=reason, again=True
        )

    def set_targeting(self, env_id: str, flag: ManagedFlag, *, reason: str) -> Written:
        """Replace the whole targeting of *flag*; its revision must be current.

        Raises:
            RefusedError: it would not evaluate for everyone; nothing was sent.
            StaleRevisionError: somebody changed it meanwhile; nothing was written.
            ManagementError: as its subclasses tell.

        """
        ids = iter(lambda: str(uuid4()), None)
        options = {"dispatchKey": None, "includedInExpt": False}
        rules = checks.completed(flag.rules, ids, **options)
        fallthrough = {**options, **flag.fallthrough}
        whole = flag.model_copy(update={"rules": rules, "fallthrough": fallthrough})
        checks.flag(whole, self._live_segments(env_id, whole))
        targeting = whole.targeting()
        body = {"revision": flag.revision, "targeting": targeting}
        return self._change(
            env_id, whole, "targeting", body, targeting, reason=reason, again=True
        )

    def set_off_variation(
        self, env_id: str, flag: ManagedFlag, variation_id: str, *, reason: str
    ) -> Written:
        """Make *variation_id* what *flag* serves while it is off.

        Raises:
            RefusedError: the flag has no such variation; nothing was sent.
            StaleRevisionError: somebody changed it meanwhile; nothing was written.
            ManagementError: as its subclasses tell.

        """
        wanted = {"disabledVariationId": variation_id}
        whole = flag.model_copy(update={"disabled_variation_id": variation_id})
        checks.flag(whole, checks.referenced_segments(whole))
        body = {"revision": flag.revision, "offVariationId": variation_id}
        return self._change(
            env_id, flag, "off-variation", body, wanted, reason=reason, again=True
        )

    def set_variations(
        self,
        env_id: str,
        flag: ManagedFlag,
        variations: Sequence[Variation],
        *,
        reason: str,
    ) -> Written:
        """Replace the variations of *flag*; one that is served must stay.

        Raises:
            RefusedError: one is missing or has no value of the flag's type.
            StaleRevisionError: somebody changed it meanwhile; nothing was written.
            ManagementError: as its subclasses tell.

        """
        whole = flag.model_copy(update={"variations": list(variations)})
        checks.flag(whole, checks.referenced_segments(whole))
        wanted = {"variations": [one.document() for one in variations]}
        body = {"revision": flag.revision, **wanted}
        return self._change(
            env_id, flag, "variations", body, wanted, reason=reason, again=True
        )

    def set_description(
        self, env_id: str, key: str, description: str, *, reason: str
    ) -> Written:
        """Set the description of a flag.

        Raises:
            ManagementError: as its subclasses tell.

        """
        wanted = {"description": checks.description(description)}
        before = self._there(env_id, key)
        return self._change(
            env_id, before, "description", wanted, wanted, reason=reason
        )

    def set_name(self, env_id: str, key: str, name: str, *, reason: str) -> Written:
        """Set the name of a flag; its key never changes.

        Raises:
            ManagementError: as its subclasses tell.

        """
        wanted = {"name": checks.line(name, "name of the flag")}
        before = self._there(env_id, key)
        return self._change(env_id, before, "name", wanted, wanted, reason=reason)

    def set_tags(
        self, env_id: str, key: str, tags: Iterable[str], *, reason: str
    ) -> Written:
        """Replace the tags of a flag.

        Raises:
            ManagementError: as its subclasses tell.

        """
        wanted = {"tags": checks.tags(tags)}
        before = self._there(env_id, key)
        return self._change(env_id, before, "tags", wanted, wanted, reason=reason)

    def _there(self, env_id: str, key: str) -> ManagedFlag:
        found = self.flag(env_id, key)
        if found is None:
            hint = f'no flag "{key}" in this environment'
            raise MissingError(f"GET /api/v1{flag_path(env_id, key)}", 404, (), hint)
        return found

    def _live_segments(self, env_id: str, flag: ManagedFlag) -> set[str]:
        wanted = checks.referenced_segments(flag)
        found = {one: self.segment(env_id, one) for one in wanted}
        return {one for one, seen in found.items() if seen and not seen.is_archived}
