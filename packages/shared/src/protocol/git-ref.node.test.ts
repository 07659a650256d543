import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { expect, it } from "vitest";
import { isGitRef } from "./git-ref.ts";

/** Git's own answer for a branch of that name. Its commands take `@` for `HEAD`, and what begins with a dash for an option. */
function gitTakes(name: string): boolean {
  return (
    spawnSync("git", ["check-ref-format", `refs/heads/${name}`]).status === 0 && name !== "@" && !name.startsWith("-")
  );
}

/** What the rules are about, and a little of what they are not. */
const part = fc.constantFrom(
  "a",
  "Z9",
  ".",
  "..",
  "/",
  "-",
  "@",
  "@{",
  "{",
  ".lock",
  "~",
  "^",
  ":",
  "?",
  "*",
  "[",
  "\\",
  " ",
  "\t",
  "\x7f",
  "é",
  "日本",
);

it("accepts the names that git accepts, and no option", () => {
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 5 }), (parts) => {
      const name = parts.join("");
      expect(isGitRef(name)).toBe(gitTakes(name));
    }),
    { numRuns: 500, examples: [[["@"]], [["-", "a"]], [["a", "/", "-", "a"]], [["a", ".lock", "/", "a"]]] },
  );
});

it("accepts no empty name, and none of several lines", () => {
  for (const name of ["", "a\nb", "a\n", "\n", "a\0b", "a\u0085b"]) expect(isGitRef(name)).toBe(false);
});
