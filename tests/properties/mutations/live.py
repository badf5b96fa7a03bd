"""Mutants of the live FeatBit connection: what must not hide or undo a kill."""

from __future__ import annotations

from functools import partial

from tests.properties.mutations.mutant import mutants, tests_of

FOLDER = "../providers/openfeature/contrib/provider/featbit/live/"
_sync = partial(tests_of, "test_featbit_live_sync.py")
_mirror = partial(tests_of, "test_featbit_live_mirror.py")
_last_good = partial(tests_of, "test_featbit_live_last_good.py")
_live = partial(tests_of, "test_featbit_live.py")
_survives = partial(tests_of, "integration/test_live_survives.py")
_sleeps = partial(tests_of, "test_featbit_sleeps.py")
LIVE = (
    *mutants(
        "../providers/openfeature/contrib/provider/featbit/sleeps.py",
        _sleeps("data_never_counts_as_younger_than_it_is", "sleeps_are_told_exactly"),
        ("if moment_ns <= woke)", "if moment_ns < woke)"),
        ("        self.look()\n", ""),
    ),
    *mutants(
        "../providers/openfeature/contrib/provider/featbit/sleeps.py",
        _sleeps("clocks_that_drift_are_no_sleep"),
        ("apart - self._apart_ns, apart", "apart - self._apart_ns, self._apart_ns"),
        ("if ahead <= STEP_NS", "if ahead < STEP_NS"),
    ),
    *mutants(
        "../providers/openfeature/contrib/provider/featbit/sleeps.py",
        _sleeps("a_sleep_does_not_count_for_what_was_read_after_it"),
        (" if moment_ns <= woke)", ")"),
    ),
    *mutants(
        "../providers/openfeature/contrib/provider/featbit/sleeps.py",
        _sleeps("what_was_read_before_more_sleeps_than_are_told_apart_is_no_younger"),
        ("self._before_ns += self", "self._before_ns = self"),
        ("(self._before_ns if moment_ns <= known[0][0] else 0)", "0"),
        ("(self._before_ns if moment_ns <= known[0][0] else 0)", "self._before_ns"),
    ),
    *mutants(
        "../providers/openfeature/contrib/provider/featbit/sleeps.py",
        _sleeps("who_was_held_up_between_two_clocks_takes_no_reading_for_a_later_one"),
        ("append((_monotonic(), ahead))", "append((now, ahead))"),
    ),
    *mutants(
        FOLDER + "sync.py",
        _sleeps("what_was_on_its_way_before_the_sleep_proves_nothing"),
        ("sleeps.backdated(self._last_frame_ns)", "self._last_frame_ns"),
    ),
    *mutants(
        "../providers/openfeature/contrib/provider/featbit/provider.py",
        _sleeps(
            "a_flag_file_is_as_old_as_the_sleep",
            "a_live_provider_is_as_old_as_the_sleep",
        ),
        ("sleeps.backdated(held.verified_ns)", "held.verified_ns"),
    ),
    *mutants(
        "../providers/openfeature/contrib/provider/featbit/file_feed.py",
        _sleeps("who_follows_a_file_sees_a_sleep_before_reading_it"),
        ("        sleeps.look()  # before it: what is", "        # what is"),
    ),
    *mutants(
        FOLDER + "session.py",
        _sleeps("who_follows_a_server_sees_a_sleep_before_anybody_decides"),
        ("            sleeps.look()\n", ""),
    ),
    *mutants(
        FOLDER + "puller.py",
        _sleeps("what_is_kept_over_a_sleep_is_as_old_as_the_sleep"),
        ("sleeps.backdated(sync.verified_ns)", "sync.verified_ns"),
    ),
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
            "a_lost_request_for_everything_cuts_the_connection",
        ),
        ("            if silent:\n                self._doubt(now)\n", ""),
        ("current = streaming and self._doubts is None", "current = streaming"),
        ("streaming and self._doubts is None", "self._doubts is None"),
        ("if waiting <= self._timing.reconnect_s", "if waiting < self._timing.pull_s"),
        ("(self._last_frame_ns, first_doubt, un", "(self._last_frame_ns, un"),
        (", first_doubt, unanswered)", ", first_doubt)"),
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
            "a_server_that_lags_is_asked_again_before_it_counts",
            "a_full_sync_that_comes_late_only_asks",
            "data_comes_before_what_was_kept",
            "a_reconnect_is_followed_by_a_pull",
        ),
        ("return self.has_data or kept()", "return kept() or self.has_data"),
        ("if self._pulled_ns > since:", "if False:"),
        ("self._behind_ns <= long_ago", "True"),
        ("since - self._timing.poll_s * SECOND", "since"),
        ("self._pulled_ns and not mirror.behind", "self._pulled_ns"),
        ("        if mirror.behind:\n", "        if False:\n"),
        ("        if first:\n            self._pull()", "        del first"),
        ("self._publish(mirror, begun, now)", "self._publish(mirror, now, now)"),
        ("self._pushes.items() if at >= begun)", "self._pushes.items() if at > now)"),
        ("return bool(keep)", "return False"),
        ("self._opened_ns is None or self._awaiting", "self._opened_ns is None"),
        ("self._opened_ns is None or self._awaiting", "self._awaiting"),
        ("        self._ask()\n", "        pass\n"),
        ("self._pushes.items() if at >= since)", "self._pushes.items() if at > now)"),
        ("since = now if opened is None else self._asked_ns", "since = opened or now"),
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
            "a_push_must_be_newer_than_what_a_kill_displaced",
            "an_older_version_counts_when_it_is_said_again_later",
            "an_older_version_counts_at_once_after_a_push_of_it",
            "a_kill_counts_at_once_whatever_its_stamp",
        ),
        ("(kill if full else newest)", "kill"),
        ("(kill if full else newest)", "newest"),
        ("newest = max(newest, held.stamp)", "pass"),
        ("self.behind if confirming else {}", "self.behind"),
        ("_Seen(self.late, self.behind", "_Seen({}, self.behind"),
        ("item.stamp >= held.stamp or item.killed:", "item.stamp >= held.stamp:"),
        ("item.stamp >= held.stamp or item.killed:", "True:"),
        ("one.get(name) == item.digest", "name in one"),
        (
            "if fresh and item.stamp > (kill if full else newest):",
            "if fresh and item.stamp >= (kill if full else newest):",
        ),
        (
            "if fresh and item.stamp > (kill if full else newest):",
            "if item.stamp > (kill if full else newest):",
        ),
        ("if fresh and item.stamp > (kill if full else newest):", "if fresh:"),
        ("if known.killed or not item.killed:", "if True:"),
        (
            "                certain = False\n                late[FLAG",
            "                late[FLAG",
        ),
        (
            "(item.stamp, item.killed) >= (other.stamp, other.killed)",
            "item.stamp > other.stamp",
        ),
        ("seen.behind), not (nameless or more)", "seen.behind), True"),
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
        _last_good(
            "older_data_of_another_process_does_not_replace_newer",
            "what_cannot_be_trusted_is_replaced",
            "a_file_that_others_may_touch_is_refused",
            "a_link_a_folder_and_a_pipe_are_refused",
        ),
        (
            "if kept is not None and verified_ms < kept.verified_ms",
            "if False and kept.verified_ms",
        ),
        (" <= _now_ms():", ":"),
        ("found.st_mode & 0o077", "found.st_mode & 0o007"),
        (" | os.O_NOFOLLOW", ""),
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
    *mutants(
        FOLDER + "feed.py",
        _live(
            "a_kill_is_remembered_over_shutdown_and_start",
            "a_forked_child_knows_what_its_parent_saw_killed",
        ),
        ("Mirror(latch=latch)", "Mirror()"),
        ("        mirror = session.sync.mirror\n", "        mirror = Mirror()\n"),
    ),
    *mutants(
        FOLDER + "streaming.py",
        _live("no_redirect_takes_the_secret_elsewhere"),
        ("redirect_limit=0", "redirect_limit=3"),
    ),
    *mutants(
        FOLDER + "build.py",
        _live(
            "unusable_arguments_are_refused",
            "an_unencrypted_way_to_another_host_is_told",
        ),
        ('r"[!-~]+"', 'r"[ -~]+\\s*"'),
        ("parts.hostname not in LOOPBACK", "False"),
    ),
)
