import { expect, test } from "vitest";
import { checkMessage, checkSession } from "./check-request.ts";

test.each([
  ["without text", { content: "" }, /^The input is invalid\.\n {2}content: /],
  ["with a model that is none", { content: "Hello", model: "gpt" }, /\n {2}model: must be `provider\/model`$/],
  ["with an empty channel", { content: "Hello", channel: "" }, /\n {2}channel: /],
  ["that is too long", { content: "x".repeat(200_001) }, /\n {2}content: /],
  ["that takes more bytes than a frame has", { content: "語".repeat(150_000) }, /^The message is too large\. /],
])("a message %s is refused as the API refuses it", (_what, message, expected) => {
  expect(() => checkMessage(message)).toThrow(expected);
});

test("a session is refused as the API refuses it", () => {
  expect(() => checkSession({ branch: "no..ref" })).toThrow(
    /^The input is invalid\.\n {2}branch: not a valid git ref$/,
  );
  expect(() => checkSession({ model: "gpt" })).toThrow(/\n {2}model: must be `provider\/model`$/);
});

test("what the API takes stays as it is", () => {
  const message = { content: "Hello", model: "valet/test", channel: "other" };
  expect(checkMessage(message)).toBe(message);
  expect(checkSession({ branch: "main" })).toEqual({ branch: "main" });
});
