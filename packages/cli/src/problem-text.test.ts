import { apiProblem } from "@valet/shared/protocol/api-problems";
import { expect, test } from "vitest";
import { problemText } from "./problem-text.ts";

const about = { type: "https://valet.test/problems/x", title: "The input is invalid", status: 400 };

test.each<[string, unknown, string]>([
  ["without a detail", about, "The input is invalid."],
  ["whose detail is a sentence", { ...about, detail: "That was at noon." }, "The input is invalid. That was at noon."],
  ["whose detail goes on", { ...about, detail: "the body is not JSON" }, "The input is invalid: the body is not JSON"],
  [
    "with wrong fields",
    { ...about, errors: [{ path: "by", message: "not a key" }] },
    "The input is invalid.\n  by: not a key",
  ],
  ["that is none", "<html>", "The API answered 400."],
])("a problem %s", (_what, answer, text) => {
  expect(problemText(400, answer)).toBe(text);
});

test("a refused token says where to get one", () => {
  const detail = "the token is unknown, or was revoked";
  expect(problemText(401, apiProblem("unauthorized", { detail }))).toBe(
    "A valid bearer token is needed: the token is unknown, or was revoked. Pass a token with --token or VALET_TOKEN: `valet up` printed one, and `valet token create <name>` makes another on the machine that runs Valet.",
  );
});

test("an unknown session says where the known ones are", () => {
  expect(problemText(404, apiProblem("session-not-found"))).toBe("No such session. See `valet sessions`.");
});
