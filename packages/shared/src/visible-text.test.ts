import fc from "fast-check";
import { expect, test } from "vitest";
import { visibleText } from "./visible-text.ts";

test("a command cannot hide control characters from the person who is asked to allow it", () => {
  expect(visibleText("rm -rf ~ #\r\u001b[2Kls")).toBe("rm -rf ~ #␍␛[2Kls");
  expect(visibleText("\u202eltxt.sh\u2069\u007f\u009b2J")).toBe("�ltxt.sh�␡�2J");
});

test("text without control characters stays as it is", () => {
  const harmless = "line\n\ttab é 漢 👩‍💻 ├─ █";
  expect(visibleText(harmless)).toBe(harmless);
  expect(visibleText("one\r\ntwo\r\n")).toBe("one\ntwo\n");
});

test("the result has no control characters for any text, and is idempotent", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const visible = visibleText(text);
      expect(visible).not.toMatch(/[^\P{Cc}\n\t]|\p{Bidi_C}/u);
      expect(visibleText(visible)).toBe(visible);
    }),
  );
});
