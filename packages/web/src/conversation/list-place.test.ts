import { expect, test } from "vitest";
import { placeIn } from "./list-place.ts";
import { rowHeight } from "./row-height.ts";
import type { Row } from "./rows.ts";

const row = (id: string) => ({ id, kind: "end" }) as Row;
const rows = ["a", "b", "c"].map(row);
const place = { rowId: "b", hiddenPx: 7, sizes: [{ key: "a", size: 40 }] };

test("a place is that of its row, whatever rows have come before it", () => {
  expect(placeIn(rows, place)?.offsetPx).toBe(47);
  const older = row("older");
  expect(placeIn([older, ...rows], place)?.offsetPx).toBe(rowHeight(older) + 47);
});

test("there is none where its row is not, nor without one that was left", () => {
  expect(placeIn([row("c")], place)).toBeUndefined();
  expect(placeIn(rows, undefined)).toBeUndefined();
});
