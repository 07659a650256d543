import fc from "fast-check";
import { expect, test } from "vitest";
import { hasVisibleText, visibleText } from "./visible-text.ts";

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

test.each([
  ["nothing", ""],
  ["white space", " \n\t\u00a0\u2003\u3000"],
  ["zero-width characters", "\u200b\u200c\u200d\u2060\ufeff"],
  ["marks of direction", "\u200e\u200f\u061c\u202a\u202c\u2066\u2069"],
  ["invisible letters", "\u00ad\u034f\u115f\u1160\u3164\uffa0\u17b4\u180e\u2800"],
  ["invisible operators", "\u2061\u2062\u2063\u2064"],
  ["variation selectors and tags", "\ufe0f\u{e0001}\u{e0041}\u{e0100}"],
  ["control characters", "\u0000\u0007\u001b\u007f\u0085"],
  ["several of them", "\u200b \n\ufeff\u2060\u00a0"],
])("%s cannot be seen", (_what, text) => {
  expect(hasVisibleText(text)).toBe(false);
});

test.each(["a", ".", "0", "漢", "👩\u200d💻", "\u200b.\u200b", "\u0301", "\u0600", "\ufffd", "☑\ufe0f"])(
  "%j can be seen",
  (text) => {
    expect(hasVisibleText(text)).toBe(true);
  },
);
