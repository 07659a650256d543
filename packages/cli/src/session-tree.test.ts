import fc from "fast-check";
import { expect, test } from "vitest";
import { placeSessions } from "./session-tree.ts";

const placed = (sessions: Parameters<typeof placeSessions>[0]) =>
  placeSessions(sessions).map(({ session, depth }) => `${" ".repeat(depth)}${session.id}`);

test("children follow their parents, in their original order", () => {
  const sessions = [
    { id: "d", parentSessionId: "b" },
    { id: "c", parentSessionId: "a" },
    { id: "b", parentSessionId: "a" },
    { id: "a" },
    { id: "z" },
  ];
  expect(placed(sessions)).toEqual(["a", " c", " b", "  d", "z"]);
});

test("a session whose parent is not in the list is a root", () => {
  expect(placed([{ id: "a", parentSessionId: "elsewhere" }])).toEqual(["a"]);
});

test("every session appears exactly once, whatever their parents are", () => {
  const id = fc.constantFrom("a", "b", "c", "d", "e", "f");
  const session = fc.record({ id, parentSessionId: fc.option(id, { nil: undefined }) });
  fc.assert(
    fc.property(fc.uniqueArray(session, { selector: (each) => each.id }), (sessions) => {
      const found = placeSessions(sessions).map((each) => each.session.id);
      expect(found.toSorted()).toEqual(sessions.map((each) => each.id).toSorted());
    }),
  );
});
