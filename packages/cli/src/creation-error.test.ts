import { expect, test } from "vitest";
import { creationText } from "./creation-error.ts";

test("a folder of the system that takes no entries is said in words", () => {
  const error = Object.assign(new Error("ENOENT: no such file or directory"), {
    code: "ENOENT",
    path: "/proc/.x.partial-a",
  });
  expect(creationText("/proc/x", error)).not.toContain("partial");
  expect(creationText("/proc/x", error)).not.toContain("ENOENT");
});
