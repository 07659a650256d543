import { expect, test } from "vitest";
import { askedAbout } from "./why.ts";

test.each([
  ["a message alone is looked for", ["msg_1", undefined, undefined], { id: "msg_1", session: undefined }],
  ["a session and its message", ["ses_1", "msg_1", undefined], { id: "msg_1", session: "ses_1" }],
  ["a message and the option", ["msg_1", undefined, "ses_1"], { id: "msg_1", session: "ses_1" }],
] as const)("%s", (_what, [first, second, option], expected) => {
  expect(askedAbout(first, second, option)).toEqual(expected);
});

test("a session that is named twice is refused with the right form", () => {
  expect(() => askedAbout("ses_1", "msg_1", "ses_2")).toThrow("say `valet why <session> <message>`, without --session");
});
