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
])("a problem %s", (_what, answer, text) => {
  expect(problemText(400, answer)).toBe(text);
});

test("a refused token says where to get one", () => {
  const detail = "the token is unknown, or was revoked";
  expect(problemText(401, apiProblem("unauthorized", { detail }))).toBe(
    "A valid bearer token is needed: the token is unknown, or was revoked. Pass a valid token with --token or VALET_TOKEN. A local Valet makes one, if it needs to, and prints it when `valet up` starts again; whoever has one makes another with `valet token create <name>`.",
  );
});

test("an unknown session says where the known ones are", () => {
  expect(problemText(404, apiProblem("session-not-found"))).toBe("No such session. See `valet sessions`.");
});

test.each<[string, unknown, string]>([
  ["without a detail", apiProblem("too-many-requests"), "Too many requests. Try again in 60 s."],
  [
    "whose detail only says to try again",
    apiProblem("unavailable", { detail: "Try again." }),
    "The session is temporarily unavailable. Try again in 60 s.",
  ],
  [
    "whose detail says when",
    apiProblem("too-many-requests", { detail: "Too many attempts have failed. Try again in 42 s." }),
    "Too many requests. Too many attempts have failed. Try again in 42 s.",
  ],
  ["of a proxy", "<html>", "The API answered 429. Try again in 60 s."],
])("a refusal %s says when to try again", (_what, answer, text) => {
  expect(problemText(429, answer, { retryAfterS: 60 })).toBe(text);
});

test.each([400, 401, 404, 413])("an answer %i that is no problem of Valet's says to check the URL", (status) => {
  const text = `The server answered ${status}, but not as Valet does. Check the URL, and what is in front of Valet.`;
  expect(problemText(status, "<html>")).toBe(text);
});

test("an error of a proxy says nothing of the URL, which may be right", () => {
  expect(problemText(502, "<html>")).toBe("The API answered 502.");
});

test("a message names other fields as the user of the command gave them", () => {
  const errors = [{ path: "from", message: "must be before `to`, which is `now` by default" }];
  const nameOf = (path: string) => ({ from: "--from", to: "--to" })[path] ?? path;
  expect(problemText(400, apiProblem("invalid-input", { errors }), { nameOf })).toMatch(
    /\n {2}--from: must be before --to, which is `now` by default$/,
  );
});
