"""Adapters: one agent framework a file, each imported by name and by nobody else.

To write another one, say in `shape.Asked` what the framework says of a call, ask the
`shape.Door`, and turn what it answers into the framework's own words:

1. ``admitted = door.admit(Asked(...))`` never raises and has recorded the decision.
2. Where ``admitted.outcome`` waits for a person and the framework can pause, pause. Its
   way of waking up is only that: ask the door again and believe nothing else.
3. ``admitted.run(body)`` calls *body* with the arguments that may run, if the tool may.
   *body* is the framework's next step; an answer that is an error leaves it as
   `shape.ToolFailedError`. Where there are only hooks before and after a tool,
   ``admitted.begin()`` stands in the first, and the second calls what it returned. Mind
   what the framework makes of an exception in a hook: some run the tool then.
4. Where ``outcome.ran == "tool"`` its value is the framework's own answer, to which
   `shape.told` adds a note if the scope was narrowed; else `shape.told` is the answer.

Then let `openfeature_gov.testing.conformance.AdapterSuite` break it.
"""
