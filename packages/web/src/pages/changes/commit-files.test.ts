import { expect, test } from "vitest";
import { filesOfCommit } from "./commit-files.ts";

test("a commit has the files that it names, renamed ones by either name", () => {
  const file = (path: string, previous_path: string | null = null) => ({ path, previous_path });
  const all = [file("a"), file("c", "b"), file("d")];
  expect(filesOfCommit({ files: ["a", "b", "gone"] }, all)).toEqual([file("a"), file("c", "b")]);
  expect(filesOfCommit({}, all)).toEqual([]);
});
