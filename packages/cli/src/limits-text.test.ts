import { expect, test } from "vitest";
import { limitsText, sizeText } from "./limits-text.ts";

test("limits are grouped by what applies them, and a limit that nothing applies is in capitals", () => {
  const limits = {
    memory: { value: 1536 * 1024 * 1024, by: "cgroup1" },
    cpu: { value: 2, by: "none" },
    processes: { value: 4096, by: "cgroup1" },
    disk: { value: 10 * 1024 ** 3, by: "watch" },
    open_files: { value: 1024, by: "rlimit" },
  } as const;
  expect(limitsText(limits)).toBe(
    "1.5 GiB memory, 4096 processes (control group v1); 2 processors (NOT APPLIED); 10 GiB disk (measured while turns run); 1024 open files (each process alone)",
  );
});

test("sizes are in the largest unit that fits", () => {
  expect([1, 1024, 1_500_000, 3 * 1024 ** 4].map(sizeText)).toEqual(["1 B", "1 KiB", "1.4 MiB", "3 TiB"]);
});
