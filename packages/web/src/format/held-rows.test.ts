import fc from "fast-check";
import { expect, test } from "vitest";
import { holdRows } from "./held-rows.ts";

const row = (id: string, text = "") => ({ id, text });

test("without a hold, the rows are those of now", () => {
  expect(holdRows([row("a")], [row("b"), row("a")], false)).toEqual({ rows: [row("b"), row("a")], waiting: 0 });
});

test("a held list keeps its places, shows what changed in them, and counts what is new", () => {
  const held = holdRows([row("a", "old"), row("gone")], [row("new"), row("a", "new")], true);
  expect(held).toEqual({ rows: [row("a", "new"), row("gone")], waiting: 1 });
});

test("what is known of a row may be fitted to its place", () => {
  const { rows } = holdRows([row("a", "old")], [row("a", "new")], true, (next, shown) => ({
    ...next,
    text: shown.text + next.text,
  }));
  expect(rows).toEqual([row("a", "oldnew")]);
});

test("an empty list has nothing to hold", () => {
  expect(holdRows([], [row("a")], true)).toEqual({ rows: [row("a")], waiting: 0 });
});

test("under a hold no row moves, whatever happens; when it ends, all rows are there", () => {
  const rows = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 2 })).map((ids) => ids.map((id) => row(id)));
  fc.assert(
    fc.property(rows, rows, (shown, next) => {
      const held = holdRows(shown, next, true);
      if (shown.length > 0) expect(held.rows.map(({ id }) => id)).toEqual(shown.map(({ id }) => id));
      const known = new Set(held.rows.map(({ id }) => id));
      expect(next.filter(({ id }) => !known.has(id))).toHaveLength(held.waiting);
      expect(holdRows(held.rows, next, false).rows).toEqual(next);
    }),
  );
});
