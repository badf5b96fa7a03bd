"""Mutants of what keeps forked processes from using a copied SQLite."""

from __future__ import annotations

from functools import partial

from tests.properties.mutations.mutant import mutants, tests_of

_inside = partial(tests_of, "test_stores_inside.py")
FORKS = (
    *mutants(
        "stores/inside.py",
        _inside("a_reader_waits_for_a_fork"),
        ("            self._visits[visit] = me\n", "            break\n"),
    ),
    *mutants(
        "stores/inside.py",
        _inside("a_child_made_while_one_reads_keeps_no_records"),
        ("return False", "return True"),
        ('ADVICE.format("a thread")', '""'),
    ),
    *mutants(
        "stores/inside.py",
        _inside("a_child_of_who_reads_keeps_no_records"),
        ("return me not in self._threads()", "return True"),
        ("            raise RecordStoreError(self.unfit)\n", "            pass\n"),
        ("        self.require()\n        visit =", "        visit ="),
        ('        self.unfit = ""\n', "        pass\n"),
    ),
    *mutants(
        "stores/inside.py",
        _inside("a_child_in_which_sqlite_hangs_keeps_no_records"),
        (
            '            self.unfit = ADVICE.format("another part")\n',
            "            pass\n",
        ),
    ),
    *mutants(
        "stores/inside.py",
        _inside("a_log_that_is_gone_is_no_proof_against_sqlite"),
        ("?mode=ro", "?mode=rwc"),
    ),
    *mutants(
        "stores/forking.py",
        _inside("a_child_whose_store_did_not_rest_keeps_no_records"),
        ("store.before_fork(FORK_WAIT_S) and rested", "True"),
        ("inside.begin_anew(rested=rested)", "inside.begin_anew(rested=True)"),
    ),
    *mutants(
        "stores/forking.py",
        _inside("a_child_of_who_reads_keeps_no_records"),
        ("inside.rest(FORK_WAIT_S)", "inside.rest(FORK_WAIT_S) or True"),
    ),
    *mutants(
        "stores/forking.py",
        _inside("a_fork_whose_rest_is_interrupted"),
        (
            "self._rested = 0, False\n        self._one.release()",
            "self._rested = 0, True\n        self._one.release()",
        ),
    ),
    *mutants(
        "stores/sqlite.py",
        _inside("a_child_whose_store_did_not_rest_keeps_no_records"),
        ("            return rests\n        return False", "        return rests"),
    ),
    *mutants(
        "stores/sqlite.py",
        _inside("a_child_in_which_sqlite_hangs_keeps_no_records"),
        ("        inside.prove(self.path)\n", ""),
    ),
    *mutants(
        "stores/sqlite.py",
        tests_of("test_stores_sqlite.py", "an_open_that_fails_leaves_no_descriptor"),
        ("            self._turns.close()\n            raise", "            raise"),
    ),
    *mutants(
        "stores/history.py",
        _inside("forks_while_threads_read_and_others_open"),
        ("with inside.held(), closing", "with closing"),
    ),
)
