import { expect, test } from "vitest";
import { filterCount, matches, parseInboxSearch } from "./inbox-search.ts";

test("a URL's filters are read, and whatever else stands there is ignored", () => {
  expect(parseInboxSearch({ q: "release", person: "mira", other: "x", model: ["a"], repository: "" })).toEqual({
    q: "release",
    person: "mira",
  });
  expect(parseInboxSearch({ q: 12 })).toEqual({ q: "12" });
  expect(parseInboxSearch({ q: "a".repeat(501) })).toEqual({});
});

const session = {
  id: "ses_0123456789abcdefghijklmnop",
  title: "Mend the Flaky export",
  repoUrl: "https://github.com/acme/billing.git",
  branch: "fix/export",
  userId: "mira",
  model: "anthropic/claude",
};

test("each word of a search has to be found somewhere; case does not count", () => {
  for (const q of ["flaky MIRA", "billing export", "ses_0123", "claude", "  "])
    expect(matches({ q }, session)).toBe(true);
  expect(matches({ q: "flaky jonas" }, session)).toBe(false);
});

test("filters compare whole values, and all of them hold", () => {
  expect(matches({ person: "mira", model: "anthropic/claude" }, session)).toBe(true);
  expect(matches({ person: "mir" }, session)).toBe(false);
  expect(matches({ person: "mira", repository: "https://github.com/acme/web.git" }, session)).toBe(false);
  // What a session does not have matches no filter.
  expect(matches({ person: "mira" }, { id: "ses_1" })).toBe(false);
});

test("filters are counted", () => {
  expect(filterCount({})).toBe(0);
  expect(filterCount({ q: "a", person: "mira" })).toBe(2);
});
