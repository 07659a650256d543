import { expect, test } from "vitest";
import { actionsFor, type Situation } from "./choose-action.ts";

const FREE: Situation = { isWriting: false, isOverlaid: false, areSingleKeysOn: true };

function registered(label: string, keys: string, applies = true) {
  return { action: { label, group: "Test", applies: () => applies, run: () => undefined }, keys: keys.split(" ") };
}
const labels = (pressed: string, situation: Partial<Situation> = {}) =>
  actionsFor(pressed, ALL, { ...FREE, ...situation }).map(({ label }) => label);

const ALL = [
  registered("frame", "j Ctrl+K"),
  registered("page", "j 1 2"),
  registered("not now", "j", false),
  registered("arrows", "ArrowDown"),
];

test("what was registered last comes first, unless it does not apply", () => {
  expect(labels("j")).toEqual(["page", "frame"]);
  expect(labels("2")).toEqual(["page"]);
  expect(labels("x")).toEqual([]);
});

test("where text is written, and above the page, only keys with Ctrl do something", () => {
  for (const situation of [{ isWriting: true }, { isOverlaid: true }]) {
    expect(["j", "1", "ArrowDown"].flatMap((key) => labels(key, situation))).toEqual([]);
    expect(labels("Ctrl+K", situation)).toEqual(["frame"]);
  }
});

test("single characters can be turned off; other keys stay", () => {
  expect(labels("j", { areSingleKeysOn: false })).toEqual([]);
  expect(labels("ArrowDown", { areSingleKeysOn: false })).toEqual(["arrows"]);
  expect(labels("Ctrl+K", { areSingleKeysOn: false })).toEqual(["frame"]);
});
