import { expect, test } from "vitest";
import { countOfCommit, filesOfCommit, namesMissing } from "./commit-files.ts";

const file = (path: string, previous_path: string | null = null) => ({ path, previous_path });

test("a commit has the files that it names, renamed ones by either name", () => {
  const all = [file("a"), file("c", "b"), file("d")];
  expect(filesOfCommit({ files: ["a", "b", "gone"] }, all)).toEqual([file("a"), file("c", "b")]);
  expect(filesOfCommit({}, all)).toEqual([]);
});

test("a renamed file is here by both of its names; those that the turn changed back, or that are not named, are missing", () => {
  expect(namesMissing({ files: ["b", "c"], files_changed: 2 }, [file("c", "b")])).toBe(0);
  expect(namesMissing({ files: ["a", "gone"], files_changed: 5 }, [file("a")])).toBe(4);
});

test("a renamed file counts once, what is missing counts by its names, and what is not recorded is unknown", () => {
  expect(countOfCommit({ files: ["b", "c"], files_changed: 2 }, [file("c", "b")])).toBe(1);
  expect(countOfCommit({ files: ["b"], files_changed: 1 }, [file("c", "b")])).toBe(1);
  expect(countOfCommit({ files: ["a", "b", "c", "gone"], files_changed: 9 }, [file("a"), file("c", "b")])).toBe(8);
  expect(countOfCommit({ files: [] }, [file("a")])).toBeUndefined();
});
