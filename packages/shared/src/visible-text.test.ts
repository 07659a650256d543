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

test("text from right to left keeps the marks and isolates that it was written with, and nothing that overrides", () => {
  const hebrew = "\u200fשלום (עולם)\u200e main";
  const arabic = "\u061c مرحبا \u2066feature/x\u2069 و\u2068y\u2069";
  expect(visibleText(`${hebrew}\n${arabic}`)).toBe(`${hebrew}\n${arabic}`);
  expect(visibleText("שלום\u202egnp.exe\u202c")).toBe("שלום�gnp.exe�");
  // An end without a beginning, and a beginning without an end, would reach beyond the text.
  expect(visibleText("שלום\u2069 a \u2067b")).toBe("שלום� a �b");
});

test("where nothing is written from right to left, marks have no use and are shown", () => {
  expect(visibleText("rm 12\u200f-\u200f34")).toBe("rm 12�-�34");
  expect(visibleText("שלום\nls\u200e")).toBe("שלום\nls�");
});

/** Returns what is wrong with a text that was made visible. */
function faultsOf(visible: string): string[] {
  const faults: string[] = /[^\P{Cc}\n\t]|[\u202a-\u202e]/u.test(visible) ? ["a control character"] : [];
  for (const line of visible.split("\n").filter((each) => /\p{Bidi_C}/u.test(each))) {
    if (!/[\u0590-\u08ff\ufb1d-\ufefc\u{10800}-\u{1efff}]/u.test(line)) faults.push("an order without use");
    let isolates = line.replaceAll(/[^\u2066-\u2069]/g, "");
    while (/[\u2066-\u2068]\u2069/.test(isolates)) isolates = isolates.replaceAll(/[\u2066-\u2068]\u2069/g, "");
    if (isolates !== "") faults.push("an isolate that reaches beyond the line");
  }
  return faults;
}

test("the result has no control characters but those of right-to-left lines, for any text, and is idempotent", () => {
  const orders = fc.constantFrom("\u2066", "\u2067", "\u2068", "\u2069", "\u200f", "א", "\n", "\u202e");
  const text = fc.array(fc.oneof(fc.string({ unit: "binary", maxLength: 3 }), orders)).map((parts) => parts.join(""));
  fc.assert(
    fc.property(text, (text) => {
      const visible = visibleText(text);
      return faultsOf(visible).length === 0 && visibleText(visible) === visible;
    }),
  );
});
