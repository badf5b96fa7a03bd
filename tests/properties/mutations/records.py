"""Mutants of records and their store."""

from __future__ import annotations

from functools import partial

from tests.properties.mutations.mutant import mutants, tests_of
from tests.properties.mutations.postgres import POSTGRES

_records = partial(tests_of, "test_governor_records.py")
_store = partial(tests_of, "test_stores_sqlite.py")
_backlog = partial(tests_of, "test_stores_backlog.py")
_shared = partial(tests_of, "test_stores.py")
_hostile = partial(tests_of, "properties/test_hostile.py")
_facts = partial(tests_of, "test_evidence_records.py")
_schema = partial(tests_of, "test_stores_schema.py")
_erasing = partial(tests_of, "test_evidence_erasure.py")
RECORDS = (
    *mutants(
        "evidence/decision_facts.py",
        _records("records_hold_no_arguments_but_the_listed_ones"),
        ("for name in rules.evidence.record_fields", "for name in contract.arguments"),
    ),
    *mutants(
        "evidence/texts.py",
        _hostile("control_characters_cannot_forge_a_record"),
        (".translate(_CONTROLS)", ""),
        ('.encode("ascii", "backslashreplace").decode("ascii")', ""),
    ),
    *mutants(
        "evidence/records.py",
        _shared("record_that_cannot_be_encoded_keeps_its_place"),
        (
            "        return record, record.encoded()\n    except Exception",
            "        return record, record.encoded()\n    except ZeroDivisionError",
        ),
    ),
    *mutants(
        "stores/schema.py",
        _store("settings_are_in_force"),
        ('("synchronous", "FULL", 2)', '("synchronous", "NORMAL", 1)'),
        ('    ("recursive_triggers", "ON", 1),\n', ""),
        ('"journal_mode", "WAL", "wal"', '"journal_mode", "DELETE", "delete"'),
    ),
    *mutants(
        "stores/schema.py",
        _store("records_are_append_only"),
        ("BEFORE UPDATE ON records", "BEFORE UPDATE OF seq ON records"),
        (
            "records_no_delete BEFORE DELETE ON records",
            "records_no_delete BEFORE UPDATE ON records",
        ),
        ('"recursive_triggers", "ON", 1', '"recursive_triggers", "OFF", 0'),
    ),
    *mutants(
        "stores/schema.py",
        _store(
            "what_is_no_record_log_is_refused", "setting_that_does_not_take_is_refused"
        ),
        ("if not 0 <= version <= VERSION", "if version is None"),
        ("if actual != expected", "if actual is None"),
    ),
    *mutants(
        "stores/statements.py",
        _shared("orphans_of_a_dead_writer_become_unknown"),
        ("AND s.kind NOT IN ('decision', 'outcome') AND NOT EXISTS", "AND EXISTS"),
        ("o.kind = 'outcome'", "o.kind = 'note'"),
    ),
    *mutants(
        "evidence/records.py",
        _shared("orphans_of_a_dead_writer_become_unknown"),
        ("int(record.executes)", "0"),
    ),
    *mutants(
        "stores/sqlite.py",
        _shared("orphans_of_a_dead_writer_become_unknown"),
        (" and not self._lease.alive(writer)", ""),
    ),
    *mutants(
        "stores/orphans.py",
        _shared("orphans_of_a_dead_writer_become_unknown"),
        ('status="unknown"', 'status="executed"'),
    ),
    *mutants(
        "stores/writing.py",
        _shared("orphans_of_a_dead_writer_become_unknown"),
        ("                self._reconcile()\n", ""),
    ),
    *mutants(
        "stores/writing.py",
        _shared("clean_close_settles_its_own_orphans"),
        ("                self._settle_orphans(self.writer)\n", ""),
    ),
    *mutants(
        "stores/writing.py",
        _shared("full_disk_fails_the_commit_and_keeps_the_record"),
        ("tell(batch, error)", "tell(batch, None)"),
        (
            "self._failing_since = self._clock()\n        self._b",
            "pass\n        self._b",
        ),
        ("        self._backlog.give_back(batch)\n", ""),
    ),
    *mutants(
        "stores/writing.py",
        _shared("full_backlog_refuses_and_says_how_many"),
        ("            self._lost += 1\n            raise", "            raise"),
        ("full=full", "full=False"),
    ),
    *mutants(
        "stores/waiting.py",
        _shared("full_disk_fails_the_commit_and_keeps_the_record"),
        ("            self.error = error\n", ""),
    ),
    *mutants(
        "stores/backlog.py",
        _backlog("nothing_is_taken_beyond_the_bound"),
        ("return not self.full()", "return True"),
    ),
    *mutants(
        "stores/backlog.py",
        _backlog("what_is_given_back_waits_for_the_next_try"),
        ("            self._awake = retrying\n", ""),
        ("if not rung and (retrying or not self._items):", "if not self._items:"),
    ),
    *mutants(
        "stores/backlog.py",
        _backlog("what_waits_comes_in_order_and_in_batches"),
        ("while len(batch) < BATCH", "while True"),
        ("for record, _ in reversed(batch)", "for record, _ in batch"),
        ("if not rung and (retrying or not self._items):", "if not rung:"),
    ),
    *mutants(
        "stores/backlog.py",
        _backlog("a_batch_gathers_those_who_waited_for_the_last"),
        ("        self._target = self._crowd\n", ""),
        ("        self._crowd = sum(done is not None for _, done in batch)\n", ""),
    ),
    *mutants(
        "stores/backlog.py",
        _backlog("a_bell_that_rings_while_it_gathers_is_heard"),
        (
            "self._crowd = 0\n        return rung",
            "self._crowd = 0\n        return False",
        ),
    ),
    *mutants(
        "stores/backlog.py",
        _backlog("an_interrupted_ring_is_made_good_by_the_next"),
        (
            "        if self._bell.locked():\n",
            "        self._awake = True\n        if self._bell.locked():\n",
        ),
    ),
    *mutants(
        "stores/backlog.py",
        _backlog("who_waits_for_room_looks_himself"),
        ("min(left, LOOK_S)", "left"),
    ),
    *mutants(
        "stores/writing.py",
        _shared("close_leaves_a_writer_alone_that_hangs"),
        ("raise self._hung()", "self._hung()"),
        ("tell(waiting, RecordStoreError(", "str(RecordStoreError("),
    ),
    *mutants(
        "stores/writing.py",
        _shared("an_interrupted_close_is_made_good_by_the_next"),
        ("            if self._closed:\n", "            if self._closing:\n"),
        ("            self._finishing = False\n", ""),
    ),
    *mutants(
        "stores/write_ahead.py",
        _store("the_write_ahead_log_is_begun_anew_by_its_size"),
        ("BATCH_PAGES + ROW_PAGES * rows", "0"),
        ("BATCH_PAGES + ROW_PAGES * rows", "rows"),
    ),
    *mutants(
        "stores/sqlite.py",
        _store("a_trigger_that_swallows_records_is_a_failure"),
        ("    require_rows(done.rowcount, len(rows))\n", ""),
    ),
    *mutants(
        "stores/sqlite.py",
        _store("a_trigger_that_swallows_some_of_a_batch_is_a_failure"),
        ("        if self._failing_since is not None:", "        if False:"),
        (
            "rows = [row(record, self.writer) for record in fresh]",
            "rows = [row(record, self.writer) for record in records]",
        ),
    ),
    *mutants(
        "stores/sqlite.py",
        _store("a_record_that_nobody_would_find_is_not_durable"),
        ("            self._footing.require()\n", "            pass\n"),
    ),
    *mutants(
        "stores/sqlite.py",
        _store("what_is_put_back_is_gone_on_with"),
        ("            self._footing.find()  # or", "            pass  # or"),
    ),
    *mutants(
        "stores/sqlite.py",
        _store("what_can_be_written_but_not_read_is_failing"),
        (
            "return None if self.sealer is None else self.sealer.broken_since",
            "return None",
        ),
    ),
    *mutants(
        "stores/footing.py",
        _store("a_record_that_nobody_would_find_is_not_durable"),
        ("if not found.st_size:", "if False:"),
        ("if self._beside not in (None, beside):", "if False:"),
        ("if _identity(self._path) != self._file:", "if False:"),
    ),
    *mutants(
        "stores/writing.py",
        _shared("what_came_too_late_undoes_nobody_elses_step"),
        (
            "            self._void[record.id] = None\n",
            "            self._void[''] = None\n",
        ),
        ("[record] if record.ref not in self._void else []", "[record]"),
    ),
    *mutants(
        "stores/writing.py",
        _shared("who_puts_while_it_closes_is_refused_or_written"),
        ("        self._backlog.shut()\n", ""),
    ),
    *mutants(
        "stores/backlog.py",
        _backlog("what_is_shut_keeps_nothing_that_its_taker_did_not_find"),
        ("        self._shut = True\n", ""),
        ("self._items.remove(item)", "pass"),
    ),
    *mutants(
        "stores/leases.py",
        _shared("orphans_of_a_dead_writer_become_unknown"),
        (
            "except BlockingIOError:\n            return True",
            "except BlockingIOError:\n            return False",
        ),
        (
            "        else:\n            return False",
            "        else:\n            return True",
        ),
    ),
    *mutants(
        "stores/writing.py",
        _store("a_batch_that_hangs_counts_as_failing"),
        ("        self._busy_since = self._clock()\n", ""),
    ),
    *mutants(
        "stores/writing.py",
        _shared("a_record_that_is_never_taken_is_set_apart"),
        ("**facts)])\n            failure = error\n", "**facts)])\n"),
    ),
    *mutants(
        "stores/writing.py",
        _store("what_is_on_the_disk_is_not_written_again"),
        ("        batch.clear()\n", ""),
    ),
    *mutants(
        "stores/writing.py",
        _shared("an_interrupted_close_writes_nothing_twice"),
        (
            'self._failed(left, RecordStoreError("who closed it was interrupted"))',
            "self._backlog.give_back(left)",
        ),
    ),
    *mutants(
        "stores/writing.py",
        _shared("close_says_what_it_could_not_write"),
        ('raise RecordStoreError(f"{self.place}: {lost}: {error}") from error', "pass"),
    ),
    *mutants(
        "stores/leases.py",
        _store("the_lock_of_a_batch_is_waited_for_in_bounds"),
        ("while not self._try():", "while False:"),
    ),
    *mutants(
        "evidence/decision_facts.py",
        _facts("canary_is_nowhere_but_in_the_personal_part"),
        ("reference(contract.call_id)", "readable(contract.call_id)"),
        ("reference(lineage.payload)", "readable(lineage.payload)"),
        ('"agent": actor.agent,', '"agent": actor.agent, "user": actor.user,'),
    ),
    *mutants(
        "evidence/records.py",
        _facts("columns_are_what_the_body_says"),
        ('said = body if kind == "decision" else {}', "said = body"),
    ),
    *mutants(
        "evidence/decision_records.py",
        _facts(
            "salt_is_of_the_secret_and_the_record",
            "body_holds_the_digest_of_the_personal_part",
            "personal_part_without_a_secret_is_no_record",
        ),
        ("if not stamp.secret:", "if False:"),
        ('{"salt": salt, **facts}', '{"salt": "", **facts}'),
        ("sha256(stamp.secret + stamp.id", "sha256(stamp.id"),
    ),
    *mutants(
        "stores/schema.py",
        _schema("a_personal_part_can_become_null_and_nothing_else"),
        ("NEW.personal IS NULL AND ", ""),
        ('("seq", *COLUMNS, "body"))', '("seq", *COLUMNS))'),
    ),
    *mutants(
        "stores/schema.py",
        _schema("old_log_is_migrated_in_place"),
        ("            _fill(connection)\n", "            pass\n"),
    ),
    *mutants(
        "stores/erasing.py",
        _erasing("no_byte_of_the_files_remembers"),
        ("secure_delete=ON", "secure_delete=OFF"),
    ),
    *mutants(
        "stores/erasing.py",
        _erasing("no_byte_of_a_log_in_use_remembers"),
        ("wal_checkpoint(TRUNCATE)", "wal_checkpoint(PASSIVE)"),
    ),
    *mutants(
        "evidence/erasure.py",
        _erasing(
            "erases_what_is_about_one_and_nothing_else",
            "careless_erasures_are_refused",
            "nothing_is_erased_that_cannot_be_recorded",
            "record_of_an_erasure_names_records_and_no_person",
        ),
        ("if orjson.loads(personal).get(subject.by) in keys", "if True"),
        ("if subject.key in reason:", "if False:"),
        ("        store.commit(record)\n", ""),
    ),
    *POSTGRES,
)
