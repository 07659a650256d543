import { expect, test } from "vitest";
import { withKey } from "./typed-text.ts";

const press = (keys: readonly string[], more = {}) =>
  keys.reduce<string>((text, key) => {
    return withKey(text, { key, ctrlKey: false, metaKey: false, altKey: false, ...more }) ?? text;
  }, "");

test("what is typed before the field is there is what it would hold", () => {
  expect(press(["a", "b", "Backspace", "ü", " ", "🙂"])).toBe("aü 🙂");
  expect(press(["🙂", "Backspace"])).toBe("");
  expect(press(["Backspace", "ArrowLeft", "F5", "Shift"])).toBe("");
});

test("keys with Ctrl are for the browser", () => {
  expect(press(["k", "r"], { ctrlKey: true })).toBe("");
});
