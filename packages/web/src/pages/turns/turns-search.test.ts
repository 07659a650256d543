import fc from "fast-check";
import { expect, test } from "vitest";
import { askedOf, filterCount, filtersOf, parseTurnsSearch, searchOfDay } from "./turns-search.ts";

const NOW = Date.parse("2026-11-26T12:00:00Z");

test("a URL's filters are taken, and what is unknown is ignored", () => {
  const search = { user: "mira", branch: 12, sort: "cost", by: "day", of: "wait", last: "year", odd: "x", exact: true };
  expect(parseTurnsSearch(search)).toEqual({
    user: "mira",
    branch: "12",
    sort: "cost",
    by: "day",
    of: "wait",
    exact: true,
  });
});

test("defaults do not stand in the URL", () => {
  expect(parseTurnsSearch({ sort: "time", last: "week", of: "duration", by: "" })).toEqual({});
});

test("whatever stands in a URL, its filters hold when they are read again", () => {
  const value = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null), fc.date().map(String));
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom("user", "from", "to", "sort", "exact", "last", "x"), value), (search) => {
      const once = parseTurnsSearch(search);
      expect(parseTurnsSearch({ ...once })).toEqual(once);
    }),
  );
});

test("the period is a week by default, the chosen one, or that of `from` and `to`", () => {
  expect(filtersOf({}, NOW)).toEqual({ from: "2026-11-19T12:00:00.000Z" });
  expect(filtersOf({ last: "hour", error: "stuck_turn" }, NOW)).toEqual({
    from: "2026-11-26T11:00:00.000Z",
    error: "stuck_turn",
  });
  expect(filtersOf({ last: "hour", to: "2026-11-01T00:00:00.000Z" }, NOW)).toEqual({ to: "2026-11-01T00:00:00.000Z" });
});

test("another order or grouping means the same turns", () => {
  expect(askedOf({ user: "mira", sort: "cost", by: "model", of: "cost" })).toEqual({ user: "mira" });
  expect(filterCount({ user: "mira", last: "day", sort: "cost" })).toBe(2);
});

test("a day's group leads to what the period holds of the day, and to no more", () => {
  const start = "2026-11-19T12:00:00.000Z";
  const search = { user: "mira", by: "day", last: "week" } as const;
  const of = (from: string, to: string) => ({ user: "mira", from, to });
  expect(searchOfDay(search, "2026-11-19", start)).toEqual(of(start, "2026-11-20T00:00:00.000Z"));
  expect(searchOfDay(search, "2026-11-20", start)).toEqual(of("2026-11-20T00:00:00.000Z", "2026-11-21T00:00:00.000Z"));
  const to = "2026-11-21T06:00:00.000Z";
  expect(searchOfDay({ user: "mira", from: start, to }, "2026-11-21", start)).toEqual(
    of("2026-11-21T00:00:00.000Z", to),
  );
});
