import { expect, test } from "vitest";
import { z } from "zod";
import { issueText } from "./issue-text.ts";

test.each<[z.ZodType, unknown, string]>([
  [z.string().min(1), "", "must not be empty"],
  [z.string().min(3), "ab", "must have at least 3 characters"],
  [z.string().max(1), "ab", "must have at most 1 character"],
  [z.array(z.string()).min(1), [], "must not be empty"],
  [z.array(z.string()).max(2), ["", "", ""], "must have at most 2 entries"],
  [z.number().min(5), 4, "must be at least 5"],
  [z.number().positive(), 0, "must be more than 0"],
  [z.number().max(5), 6, "must be at most 5"],
  [z.int(), 1.5, "must be a whole number"],
  [z.string(), undefined, "is missing"],
  [z.string(), 7, "must be a string"],
  [z.boolean(), "canary", "must be true or false"],
  [z.array(z.string()), {}, "must be a list"],
  [z.object({}), "canary", "must be an object"],
  [z.enum(["on", "off"]), "canary", "must be one of on, off"],
  [z.literal("on"), "canary", "must be on"],
  [z.union([z.string(), z.number()]), {}, "has none of the forms that are allowed here"],
  [z.iso.datetime(), "canary", "must be a time such as 2026-01-31T18:30:00Z"],
  [z.iso.datetime({ offset: true }), "2026-02-30T00:00:00Z", "must be a time such as 2026-01-31T18:30:00Z"],
  [z.string().min(1, "give a name"), "", "give a name"],
  [z.string().refine(() => false, "not a valid git ref"), "x", "not a valid git ref"],
])("%#: what is wrong, in plain English", (schema, input, text) => {
  const { error } = schema.safeParse(input);
  expect(error?.issues.map(issueText)).toEqual([text]);
});
