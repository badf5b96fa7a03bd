"""Mutants of the record logs in PostgreSQL."""

from __future__ import annotations

from functools import partial

from tests.properties.mutations.mutant import mutants, tests_of

_store = partial(tests_of, "test_stores_postgres.py")
_sealed = partial(tests_of, "test_stores_postgres_sealed.py")
POSTGRES = (
    *mutants(
        "stores/postgres_sessions.py",
        _store("commits_wait_for_the_disk_whatever_the_url_says"),
        ('("synchronous_commit", "on", "on")', '("synchronous_commit", None, "on")'),
        ('    ("idle_session_timeout", "0", "0"),\n', ""),
    ),
    *mutants(
        "stores/postgres_sessions.py",
        _store("a_server_that_may_lose_records_is_refused"),
        ('    ("fsync", None, "on"),\n', ""),
        ('    ("full_page_writes", None, "on"),\n', ""),
        ("!= expected:", "is None:"),
    ),
    *mutants(
        "stores/postgres_schema.py",
        _store("a_log_without_its_guards_is_refused"),
        ("c.relpersistence = 'p' AND ", ""),
        (" AND t.tgenabled = 'A'", ""),
        ("if not guarded(connection, table):", "if False:"),
        (" AND p.prosrc = %(guard)s", ""),
    ),
    *mutants(
        "stores/postgres_schema.py",
        _store("records_are_append_only"),
        ("ENABLE ALWAYS TRIGGER {table}_no_change", "ENABLE TRIGGER {table}_no_change"),
        ("BEFORE UPDATE OR DELETE ON {table}", "BEFORE UPDATE ON {table}"),
        ("IF NEW *= OLD THEN", "IF true THEN"),
    ),
    *mutants(
        "stores/postgres_schema.py",
        _store("a_personal_part_can_only_go"),
        ("    OLD.personal := NULL;\n", ""),
    ),
    *mutants(
        "stores/postgres_sessions.py",
        _store("a_password_is_in_no_message"),
        ("        ) from None", "        ) from error"),
    ),
    *mutants(
        "stores/postgres_schema.py",
        _store("a_database_of_version_1_is_migrated_in_place"),
        ("if connection.execute(CURRENT, former).fetchone() is None:", "if False:"),
    ),
    *mutants(
        "stores/postgres_schema.py",
        _store("many_first_openers_make_one_schema"),
        (
            "                if not _present(connection):\n",
            "                if True:\n",
        ),
    ),
    *mutants(
        "stores/postgres_roles.py",
        _store("each_role_can_do_its_part_and_no_more"),
        ('SQL("REVOKE ALL ON {} FROM {}")', 'SQL("REVOKE DELETE ON {} FROM {}")'),
        ("GRANT UPDATE (personal) ON", "GRANT UPDATE ON"),
        (
            "writing = (roles.writer, roles.eraser,",
            "writing = (roles.writer, roles.reader,",
        ),
    ),
    *mutants(
        "stores/postgres.py",
        _store("what_the_server_kept_unheard_is_written_once"),
        ("        self._kept.update(one for one, _ in found)\n", ""),
        ("max(self._seq, last)", "self._seq"),
    ),
    *mutants(
        "stores/postgres.py",
        _store("an_older_database_is_told_apart"),
        ("if last < known:", "if last > known:"),
        ("max(self._seq, last)", "last"),
    ),
    *mutants(
        "stores/postgres.py",
        _store("an_idle_log_notices_and_heals_by_itself"),
        ('cursor.execute("SELECT 1")', "pass"),
    ),
    *mutants(
        "stores/postgres.py",
        _store("what_another_opener_settled_meanwhile_is_left_alone"),
        ("if self._unsettled(writer):", "if True:"),
        (
            "                    _unlock(self._opened(), writer)\n",
            "                    pass\n",
        ),
    ),
    *mutants(
        "stores/postgres.py",
        _store("a_writer_that_was_taken_for_dead_says_so"),
        ("if not self._unsettled(self.writer):", "if False:"),
    ),
    *mutants(
        "stores/postgres.py",
        _store("after_a_restart_writers_have_time_to_return"),
        (" and not (young and older)", ""),
        ("            self._reconcile()\n", "            pass\n"),
    ),
    *mutants(
        "stores/postgres_sessions.py",
        _store("a_childs_copy_of_the_session_keeps_no_lease"),
        ("        os.dup2(", "        print("),
    ),
    *mutants(
        "stores/postgres_seals.py",
        _sealed("all_logs_verify_against_one_checkpoint"),
        ("        if found.fetchone() is None:\n", "        if False:\n"),
        ("    ledger.seal()\n", "    pass\n"),
    ),
    *mutants(
        "stores/postgres_seals.py",
        _sealed("the_dead_get_a_last_checkpoint"),
        ("            self.bury()\n", "            pass\n"),
    ),
    *mutants(
        "stores/postgres_seals.py",
        _sealed("a_new_host_goes_on_from_the_last_checkpoint"),
        ("        _begin(Published(path), log, now)\n", ""),
    ),
    *mutants(
        "stores/postgres_sealed.py",
        _sealed("a_lost_session_delays_the_seals"),
        ("        if self._connection.closed:\n", "        if False:\n"),
    ),
    *mutants(
        "stores/postgres_seals.py",
        _sealed("sealing_needs_a_key_and_a_place"),
        ("    if path is None:\n", "    if False:\n"),
        ("    if sealing.key is None:\n", "    if False:\n"),
    ),
    *mutants(
        "stores/postgres.py",
        _sealed("a_forked_child_seals_its_own_log"),
        ("            self._seals.abandon()\n", "            self._seals.close()\n"),
    ),
)
