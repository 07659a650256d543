import { expect, test } from "vitest";
import { isCharacterKey, keyOf, parseKeys, shownKey, shownKeys } from "./keys.ts";

const press = (key: string, more: object = {}) =>
  keyOf({ key, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...more });

test("keys have one name, whichever modifier the system uses", () => {
  expect(press("j")).toBe("j");
  expect(press("J", { shiftKey: true })).toBe("Shift+J");
  // Caps lock is not Shift.
  expect(press("J")).toBe("j");
  expect(press("?", { shiftKey: true })).toBe("?");
  expect(press("k", { ctrlKey: true })).toBe("Ctrl+K");
  expect(press("k", { metaKey: true })).toBe("Ctrl+K");
  expect(press("ArrowDown")).toBe("ArrowDown");
  expect(press("Tab", { shiftKey: true })).toBe("Shift+Tab");
  expect(press(" ")).toBe("Space");
});

test("single characters are those without Ctrl and Alt", () => {
  expect(["j", "Shift+N", "?", "1", "+", "Space"].map(isCharacterKey)).toEqual([true, true, true, true, true, true]);
  expect(["Ctrl+K", "Alt+1", "Escape", "ArrowDown", "Enter"].map(isCharacterKey)).toEqual([
    false,
    false,
    false,
    false,
    false,
  ]);
});

test("keys are shown as they are printed on a keyboard", () => {
  expect(["Ctrl+K", "j", "Shift+N", "ArrowUp", "Escape", "+"].map(shownKey)).toEqual([
    "Ctrl K",
    "J",
    "Shift N",
    "↑",
    "Esc",
    "+",
  ]);
  expect(shownKeys(["j", "ArrowDown"])).toEqual(["J", "↓"]);
  expect(shownKeys(["1", "2", "3", "4"])).toEqual(["1 – 4"]);
  expect(parseKeys("j ArrowDown")).toEqual(["j", "ArrowDown"]);
  expect(parseKeys(undefined)).toEqual([]);
});
