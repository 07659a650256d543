import { expect, test } from "vitest";
import { UserError } from "../errors.ts";
import { requireSpace } from "./disk-error.ts";

const MIB = 1024 * 1024;
const DIR = "/state";

test.each([
  ["too few bytes for a database", { bytes: MIB - 1, files: 10 }],
  ["no further file", { bytes: 500 * MIB, files: 0 }],
])("a state directory whose disk has %s left is refused", (_what, space) => {
  expect(() => requireSpace(DIR, space)).toThrow(UserError);
  expect(() => requireSpace(DIR, space)).toThrow("The disk of the state directory /state is full.");
});

test("a state directory whose disk has little room is used", () => {
  expect(() => requireSpace(DIR, { bytes: MIB, files: undefined })).not.toThrow();
});

test("a disk that cannot be queried is no reason to refuse", () => {
  expect(() => requireSpace("/proc/self/environ/state")).not.toThrow();
});
