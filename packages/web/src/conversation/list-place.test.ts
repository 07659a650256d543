import type { VirtualItem } from "@tanstack/react-virtual";
import { expect, test } from "vitest";
import { offsetOf } from "./list-place.ts";
import { rowHeight } from "./row-height.ts";
import type { Row } from "./rows.ts";

const row = (id: string) => ({ id, kind: "end" }) as Row;
const rows = ["a", "b", "c"].map(row);
const place = { rowId: "b", hiddenPx: 7, measured: [{ key: "a", size: 40 } as VirtualItem] };

test("a place is that of its row, whatever rows have come before it", () => {
  expect(offsetOf(place, rows)).toBe(47);
  const older = row("older");
  expect(offsetOf(place, [older, ...rows])).toBe(rowHeight(older) + 47);
});

test("a place has no offset once its row is gone", () => {
  expect(offsetOf(place, [row("c")])).toBeUndefined();
});
