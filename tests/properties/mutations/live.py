"""Mutants of the live FeatBit connection: what must not hide or undo a kill."""

from __future__ import annotations

from functools import partial

from tests.properties.mutations.mutant import mutants, tests_of

FOLDER = "../providers/openfeature/contrib/provider/featbit/live/"
_sync = partial(tests_of, "test_featbit_live_sync.py")
_mirror = partial(tests_of, "test_featbit_live_mirror.py")
_survives = partial(tests_of, "integration/test_live_survives.py")
LIVE = (
    *mutants(
        FOLDER + "sync.py",
        _sync(
            "every_frame_vouches_for_data_in_sync",
            "silence_is_told_after_12_s_and_cut_after_20",
            "a_frame_after_silence_proves_nothing",
            "before_the_full_sync_no_frame_vouches",
            "nor_after_a_reconnect",
            "a_frame_nobody_can_read_leaves_doubt",
            "doubt_that_stays_cuts_the_connection",
        ),
        ("            if silent:\n                self._doubt(now)\n", ""),
        ("self._publish(mirror, now, now)\n        if first", "if first"),
        ("current = streaming and self._doubts is None", "current = streaming"),
        ("streaming and self._doubts is None", "self._doubts is None"),
        ("if waiting <= self._timing.reconnect_s", "if waiting < self._timing.pull_s"),
        ("min(self._last_frame_ns, first_doubt)", "self._last_frame_ns"),
        (
            "now - self.verified_ns > self._timing.stale_s",
            "now - self.verified_ns > 2 * self._timing.stale_s",
        ),
        (
            "                self._doubt(now)\n                return\n",
            "                return\n",
        ),
        ("self._doubts[1] <= begun", "self._doubts is not None"),
    ),
    *mutants(
        FOLDER + "sync.py",
        _sync(
            "a_pull_vouches_from_its_beginning",
            "what_was_pushed_during_a_pull_counts",
            "a_lost_push_is_found_by_the_next_pull",
            "a_failed_pull_asks_the_stream",
            "what_was_pushed_while_asking_counts",
            "what_was_pushed_before_asking_does_not",
            "nothing_is_asked_without_a_stream",
            "pongs_alone_vouch_for_two_pulls_at_most",
            "only_a_fresh_stream_releases_a_kill",
            "after_its_end_nothing_changes",
        ),
        ("self._publish(mirror, begun, now)", "self._publish(mirror, now, now)"),
        ("self._pushes.items() if at >= begun)", "self._pushes.items() if at > now)"),
        ("return bool(keep)", "return False"),
        ("self._opened_ns is None or self._awaiting", "self._opened_ns is None"),
        ("self._opened_ns is None or self._awaiting", "self._awaiting"),
        ("        self._ask()\n", "        pass\n"),
        ("self._pushes.items() if at >= since)", "self._pushes.items() if at > now)"),
        ("else self._asked_ns", "else opened"),
        ("        if first:\n            self._pull()", "        self._pull()"),
        ("if whole > 2 * self._timing.pull_s * SECOND and", "if False and"),
        ("fresh=not silent", "fresh=True"),
        (
            "            if self._over or self._opened_ns is None",
            "            if self._opened_ns is None",
        ),
    ),
    *mutants(
        FOLDER + "mirror.py",
        _mirror(
            "a_full_sync_replaces_whatever_the_versions_say",
            "a_patch_is_last_writer_wins_for_each_entity",
            "only_a_newer_item_releases_a_kill",
            "a_kill_with_an_older_stamp_counts_until_a_full_sync_shows_better",
            "an_older_kill_does_not_replace_a_newer_one",
            "of_a_flag_said_twice_the_newest_counts_and_a_kill_before_all",
            "items_that_name_no_flag_leave_doubt",
            "a_segment_change_reaches_the_flags_that_name_it",
        ),
        ("if fresh and item.stamp > kill:", "if fresh and item.stamp >= kill:"),
        ("if fresh and item.stamp > kill:", "if item.stamp > kill:"),
        ("if fresh and item.stamp > kill:", "if fresh:"),
        ("(known.killed or not item.killed)", "True"),
        ("            certain &= not late\n", ""),
        (
            "(item.stamp, item.killed) >= (other.stamp, other.killed)",
            "item.stamp > other.stamp",
        ),
        ("return made, not (nameless or more)", "return made, True"),
        ("certain = not (nameless or more)", "certain = True"),
    ),
    *mutants(
        FOLDER + "items.py",
        (
            *_mirror(
                "a_bad_flag_is_refused_alone",
                "of_a_flag_said_twice_the_newest_counts_and_a_kill_before_all",
            ),
            *_survives("a_monstrous_flag_harms_no_other"),
        ),
        ("except TypeError:", "except MemoryError:"),
        ("except FeatBitDataError as error:", "except MemoryError as error:"),
        ('archived or raw.get("isEnabled") is False', "archived"),
    ),
    *mutants(
        FOLDER + "last_good.py",
        _survives(
            "last_known_good_has_its_true_age", "a_damaged_last_known_good_is_refused"
        ),
        (
            "if not hmac.compare_digest(parts[1], self._code(body, verified_ms)):",
            "if False:",
        ),
    ),
    *mutants(
        FOLDER + "puller.py",
        _survives("the_latch_survives_a_restart"),
        (
            "        if sync.mirror is not self._saved:\n            self._save(sync)\n\n",
            "\n",
        ),
    ),
    *mutants(
        FOLDER + "session.py",
        _survives("a_dripping_answer_holds_nobody_up"),
        ("            self._http.expire()\n", ""),
    ),
)
