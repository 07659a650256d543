import fc from "fast-check";
import { expect, test } from "vitest";
import { UserError } from "./errors.ts";
import { matchId } from "./match-id.ts";

const TOKENS = { one: "token", many: "tokens", type: "token-not-found", remedy: "See the list." };
const ids = [{ id: "tok_abc1", note: "laptop" }, { id: "tok_abd2" }, { id: "tok_a" }];

test("an id is found by its beginning, with or without its prefix; the whole id comes first", () => {
  expect(matchId("tok_abc", ids, TOKENS)).toBe("tok_abc1");
  expect(matchId("abd", ids, TOKENS)).toBe("tok_abd2");
  expect(matchId("tok_a", ids, TOKENS)).toBe("tok_a");
});

test("an ambiguous beginning is refused with the candidates, and an unknown one with what to do", () => {
  expect(() => matchId("ab", ids, TOKENS)).toThrow(
    /^2 tokens have ids that begin with ab: .*\n {2}tok_abc1 {2}laptop\n {2}tok_abd2$/,
  );
  expect(() => matchId("abc", ids, TOKENS, true)).toThrow(
    /^More than 1 tokens .*\n {2}tok_abc1 {2}laptop\n {2}and more$/,
  );
  expect(() => matchId("x", ids, TOKENS)).toThrow("No token has an id that begins with x. See the list.");
  expect(() => matchId("", [{ id: "tok_a" }], TOKENS)).toThrow("An empty text names no token. See the list.");
});

test.each([
  ["msg_4k7q", "message, workflow or session", "No message, workflow or session has an id that begins with msg_4k7q."],
  ["msg_4k7q", "session", "msg_4k7q looks like the id of a message, not of a session. See the list."],
  ["ses_6t9f", "message", "ses_6t9f looks like the id of a session, not of a message."],
  ["a".repeat(32), "session", "looks like the id of a trace, not of a session."],
  ["wh_01", "token", "wh_01 looks like the id of an endpoint, not of a token."],
  ["per_1", "open request of ses_1", "No open request of ses_1 has an id that begins with per_1."],
  ["msg_1", "open request of ses_1", "msg_1 looks like the id of a message, not of an open request of ses_1."],
])("an id of another kind is called so: %s in the place of a %s", (text, one, sentence) => {
  expect(() => matchId(text, [], { ...TOKENS, one })).toThrow(sentence);
});

const id = fc.stringMatching(/^tok_[ab]{1,4}$/);

test("whatever is asked for: the answer is a whole id, or the only one that begins so", () => {
  fc.assert(
    fc.property(fc.uniqueArray(id, { maxLength: 8 }), fc.stringMatching(/^(?:tok_)?[ab]{0,4}$/), (all, text) => {
      const beginning = all.filter((each) => text !== "" && (each.startsWith(text) || each.startsWith(`tok_${text}`)));
      const candidates = all.map((each) => ({ id: each }));
      const only = all.includes(text) ? text : beginning.length === 1 ? beginning[0] : undefined;
      if (only === undefined) expect(() => matchId(text, candidates, TOKENS)).toThrow(UserError);
      else expect(matchId(text, candidates, TOKENS)).toBe(only);
    }),
  );
});
