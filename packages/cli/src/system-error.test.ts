import { expect, test } from "vitest";
import { systemErrorText } from "./system-error.ts";

const errorOf = (code: string, more = {}) => Object.assign(new Error(`${code}: bad`), { code, ...more });

test("an error of the operating system says what happened, where, and what to do", () => {
  expect(systemErrorText(errorOf("EROFS", { path: "/a/b" }))).toBe(
    "/a/b: the file system is read-only (EROFS). Use a folder on another one.",
  );
  expect(systemErrorText(errorOf("ENOSPC"))).toBe(
    "The disk is full (ENOSPC). Make room, or use a folder on another disk.",
  );
  expect(systemErrorText(errorOf("EACCES", { path: "/a" }), "Name another one with --state.")).toBe(
    "/a: this user may not use it (EACCES). Name another one with --state.",
  );
});

test.each([[errorOf("ERR_INVALID_ARG_TYPE")], [new TypeError("x is undefined")], [undefined], ["a text"]])(
  "any other error is none of the operating system: %s",
  (error) => {
    expect(systemErrorText(error)).toBeUndefined();
  },
);
