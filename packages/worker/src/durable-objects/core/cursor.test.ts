import fc from "fast-check";
import { expect, it } from "vitest";
import { encodeCursor, parseCursor } from "./cursor.ts";

const asciiPart = fc.string({ unit: "binary-ascii" });

it("returns the parts of its own cursors, which fit into a URL as they stand", () => {
  fc.assert(
    fc.property(fc.array(asciiPart, { minLength: 1, maxLength: 3 }), (parts) => {
      const cursor = encodeCursor(parts);
      expect(cursor).toBe(encodeURIComponent(cursor));
      expect(parseCursor(cursor, parts.length)).toEqual(parts);
      expect(parseCursor(cursor, parts.length + 1)).toBeUndefined();
    }),
  );
});

it("returns nothing for any other text", () => {
  for (const text of ["", "x", "e30", "WzFd", "bnVsbA", "WyJhIl", "%", "\ud800"])
    expect(parseCursor(text, 1)).toBeUndefined();
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => parseCursor(text, 2) === undefined));
});
