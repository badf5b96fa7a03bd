"""Mutants of the Merkle tree, of notes and keys, and of what seals the log."""

from __future__ import annotations

from functools import partial

from tests.properties.mutations.mutant import mutants, tests_of

_merkle = partial(tests_of, "properties/test_merkle.py")
_notes = partial(tests_of, "test_evidence_notes.py")
_keys = partial(tests_of, "test_evidence_keys.py")
_published = partial(tests_of, "test_evidence_published.py")
_alterations = partial(tests_of, "test_evidence_alterations.py")
_sealing = partial(tests_of, "test_evidence_sealing.py")
SEALING = (
    *mutants(
        "evidence/merkle.py",
        _merkle("altered_inclusion_proofs_fail", "altered_consistency_proofs_fail"),
        ("return last == 0 and seen == root", "return seen == root"),
        ("return (before, after) if last == 0 else None", "return (before, after)"),
    ),
    *mutants(
        "evidence/merkle.py",
        _merkle("proofs_are_those_of_the_naive_reading"),
        ("min(fits, aligned)", "aligned"),
        ("if index < middle:", "if index <= middle:"),
        ("if old <= middle:", "if old < middle:"),
    ),
    *mutants(
        "evidence/merkle.py",
        _merkle("golden_roots_of_certificate_transparency"),
        ('sha256(b"\\0" + data)', "sha256(data)"),
        (
            'sha256(b"\\1" + left + right).digest() for',
            "sha256(left + right).digest() for",
        ),
    ),
    *mutants(
        "evidence/merkle.py",
        _merkle("bytes_cannot_move_between_hashes"),
        ("not _hashes(leaf, root, *proof)", "False"),
        ("not _hashes(old_root, new_root, *proof)", "False"),
    ),
    *mutants(
        "evidence/notes.py",
        _notes("only_pinned_keys_count", "golden_note_verifies"),
        ("    if not verified:", "    if False:"),
    ),
    *mutants(
        "evidence/notes.py",
        _notes("a_wrong_signature_of_a_known_key_spoils_the_note"),
        (
            'raise NoteError(f"the signature of {name} does not verify")',
            "continue",
        ),
    ),
    *mutants(
        "evidence/notes.py",
        _notes("signature_has_one_spelling", "malformed_keys_are_refused"),
        ('if b64encode(raw).decode("ascii") != text:', "if False:"),
        ("if made.id.hex() != hashed:", "if False:"),
        ("if raw[:1] != ED25519:", "if False:"),
    ),
    *mutants(
        "evidence/keys.py",
        _keys(
            "key_that_others_could_read_is_refused",
            "key_is_made_on_first_use_and_stays",
        ),
        ("stat.S_IMODE(held.st_mode) & 0o077", "stat.S_IMODE(held.st_mode) & 0o007"),
    ),
    *mutants(
        "evidence/keys.py",
        _keys("first_use_by_many_at_once_makes_one_key"),
        ("path.hardlink_to(fresh)", "fresh.replace(path)"),
    ),
    *mutants(
        "evidence/keys.py",
        _keys("rotation_that_is_not_one_is_refused"),
        ("    open_note(note, [old])\n", ""),
        (" or before.id == after.id", ""),
        (" or lines[1] != ROTATION", ""),
    ),
    *mutants(
        "evidence/published.py",
        _published("line_cut_short_at_every_byte_is_taken_away"),
        ("file.truncate(whole)", "pass"),
    ),
    *mutants(
        "evidence/published.py",
        _published("full_disk_is_an_error_and_leaves_no_half_note"),
        (
            "    while data:\n        data = data[file.write(data) :]",
            "    file.write(data)",
        ),
    ),
    *mutants(
        "evidence/published.py",
        _published("forked_child_lets_go_of_a_lock_that_is_not_its_own"),
        ("os.close(self._held)", "pass"),
    ),
    *mutants(
        "evidence/sealed.py",
        _alterations("alteration_is_found_at_opening"),
        ("if last is not None and log.number_of(last) is None:", "if False:"),
        ("    opened(head, trusted(log, signer))\n", ""),
        ("head is not None and head.number > 1:", "False:"),
        ("tree.frontier.root() != stated.root or ", ""),
        (" or tree.last_seq != head.last_seq:", ":"),
        ("fits = made[:3] == said and ", "fits = "),
        (" and whole.size == head.size", ""),
        (
            "return lineage(parse_vkey(signer().vkey), rotations(log.rotations()))",
            "return [parse_vkey(orjson.loads(one)['old']) for one in log.rotations()]",
        ),
    ),
    *mutants(
        "evidence/sealed.py",
        _sealing("nonsense_rotations_are_passed_over"),
        ("suppress(ValueError, LookupError, TypeError)", "suppress(ZeroDivisionError)"),
    ),
    *mutants(
        "evidence/sealed.py",
        _sealing("hostile_names_stay_out_of_the_log_output"),
        ("finding, readable(detail)", "finding, detail"),
    ),
    *mutants(
        "evidence/sealing.py",
        _alterations("finding_is_on_record_once_the_store_is_open"),
        ("        self._attempt(self._open)\n", ""),
    ),
    *mutants(
        "evidence/sealing.py",
        _sealing("close_seals_everything", "next_opening_goes_on_with_the_tree"),
        (
            "        self._tick()\n        self._log.close()",
            "        self._log.close()",
        ),
    ),
    *mutants(
        "evidence/chain.py",
        _sealing("close_seals_everything", "next_opening_goes_on_with_the_tree"),
        (
            "self._published.extend(self._unpublished, self._now() // 1000)",
            "pass",
        ),
    ),
    *mutants(
        "evidence/chain.py",
        _alterations("finding_that_cannot_be_recorded_is_tried_again"),
        ("self._books.commit(note)\n", "self._books.append(note)\n"),
        ("self._found, self._check = found, None", "self._check = None"),
    ),
    *mutants(
        "evidence/chain.py",
        _alterations("alteration_while_it_runs_is_found"),
        ("if number < tree.number:", "if False:"),
        ("            require_length(self._log, tree.last_seq)\n", ""),
    ),
    *mutants(
        "evidence/chain.py",
        _alterations("key_swapped_while_it_runs_is_found"),
        (
            'raise AlteredError("key", "another key is in place of the log\'s")',
            "pass",
        ),
        ('f"-{self._trees}" if self._trees > 1 else ""', '""'),
    ),
    *mutants(
        "evidence/chain.py",
        _alterations("check_of_a_tree_that_another_process_ended_is_dropped"),
        ("self._check = None  # another process", "pass  # another process"),
    ),
    *mutants(
        "evidence/chain.py",
        tests_of(
            "test_evidence_alterations.py",
            "a_log_that_could_not_be_read_for_a_while_is_read_again",
        ),
        (
            "return check is not None and (self._unread or ",
            "return check is not None and (",
        ),
        (
            "        self._unread = True\n",
            "        self._check, check = None, self._check\n",
        ),
    ),
    *mutants(
        "evidence/posting.py",
        _sealing("publisher_that_was_down_gets_the_newest"),
        ("if note == self._taken or self._busy:", "if self._busy:"),
        ("self._taken if failure else note", "note"),
    ),
    *mutants(
        "stores/sealed.py",
        _alterations("alteration_is_found_at_opening"),
        ("coalesce(CAST(body AS BLOB), x'')", "body"),
    ),
    *mutants(
        "stores/sealed.py",
        _alterations("no_checkpoint_is_published_twice"),
        ("return int(found[0] or 1) - 1", "return 0"),
    ),
    *mutants(
        "stores/sealed.py",
        _sealing("store_that_cannot_keep_a_checkpoint_keeps_records"),
        (
            "except sqlite3.IntegrityError:\n                return False",
            "except sqlite3.IntegrityError:\n                return True",
        ),
    ),
    *mutants(
        "stores/sqlite.py",
        _sealing(
            "closing_again_does_nothing", "checkpoint_comes_after_so_many_records"
        ),
        ("            self.sealer.wrote(rows)\n", "            pass\n"),
        ("                owner.close()\n", "                pass\n"),
    ),
)
