"""Why an answer was not taken: the status and the words for each reason code."""

from __future__ import annotations

from http import HTTPStatus

WORDS = {
    "approval_unknown": "There is no such request.",
    "deadline_passed": "Its time is up; the clock settles it.",
    "shown_something_else": "What you were shown is not what waits now. Look again.",
    "reviewer_unauthenticated": "The token is nobody's.",
    "keys_unavailable": "The issuer of logins does not answer. Try again later.",
    "reviewer_unknown": "You were taken out of the reviewers.",
    "reviewer_not_asked": "You are in no group that was asked.",
    "self_approval": "You stand behind this action; somebody else must answer.",
    "already_voted": "Your approval is counted already; somebody else is needed.",
    "approved_unread": "Nobody reads it so fast. Look at it, then approve it.",
    "reason_missing": "Say why: the agent gets it as its answer.",
    "deadline_invalid": "A deadline moves later, by a day at most.",
    "reason_too_long": "Say it in 1,000 characters.",
    "question_missing": "Ask something.",
    "question_too_long": "Ask it in 1,000 characters.",
    "too_many_questions": "Ten questions are enough: answer, or pass it on.",
    "caller_unauthenticated": "Nobody knows who you are.",
    "not_the_requester": "Only whoever stands behind the action can do that.",
    "question_unknown": "There is no such question.",
    "question_answered": "Somebody was faster: that question is answered.",
    "answer_missing": "Say something.",
    "answer_too_long": "Say it in 1,000 characters.",
    "reassign_not_allowed": "The contract lets nobody of that name be asked.",
    "already_theirs": "It is their turn already.",
    "break_glass_not_allowed": "The contract names nobody who may do that.",
    "break_glass_too_early": "Reviewers have five minutes before anybody may do that.",
    "already_called": "You said so already; a second person is needed.",
    "already_approved": "Somebody was faster: it is approved already.",
    "already_refused": "Somebody was faster: it is refused already.",
    "already_expired": "Too late: nobody answered in time, and it expired.",
    "already_withdrawn": "Too late: whoever asked has withdrawn it.",
    "already_superseded": "Too late: the action, its contract or the flags changed.",
    "already_consumed": "Too late: it is running.",
    "already_executed": "Too late: it ran already.",
    "already_failed": "Too late: it ran already, and failed.",
    "review_unknown": "There is no such review.",
    "not_open": "It still runs; nobody knows yet what came of it.",
    "already_accepted": "Somebody was faster: it is accepted already.",
    "already_lapsed": "Too late: nobody looked in time, and it stands.",
    "already_undoing": "Too late: it is being undone.",
    "already_undone": "Too late: it is undone already.",
    "already_undo_failed": "Too late: its undo failed, and somebody sees to it.",
    "already_handed_over": "Too late: it was handed over to somebody.",
    "already_void": "It changed nothing; there is nothing to look at.",
    "already_unknown": "Too late: it began to run, and nobody knows how it ended.",
}
NOT_YOURS = frozenset(
    {
        "reviewer_unauthenticated",
        "reviewer_unknown",
        "reviewer_not_asked",
        "self_approval",
        "caller_unauthenticated",
        "not_the_requester",
        "break_glass_not_allowed",
    }
)


def words(reason: str) -> str:
    """Return what the code *reason* means to a person."""
    return WORDS.get(reason, "It cannot be answered so.")


def status(reason: str) -> HTTPStatus:
    """Return the HTTP status of an answer that was denied for *reason*."""
    if reason in ("approval_unknown", "review_unknown"):
        return HTTPStatus.NOT_FOUND
    return HTTPStatus.FORBIDDEN if reason in NOT_YOURS else HTTPStatus.CONFLICT
