import { expect, test } from "vitest";
import {
  answerError,
  errorSentence,
  isPassing,
  isSignedOut,
  mayBeDone,
  mayRetry,
  nextRead,
  notOurs,
  unreachable,
} from "./problem.ts";

const problem = (status: number, more: object) =>
  answerError(status, { type: "urn:valet:problem:invalid-input", title: "The input is invalid", status, ...more });

test("a problem becomes a sentence, whatever its detail looks like", () => {
  expect(problem(400, {}).message).toBe("The input is invalid.");
  expect(problem(400, { detail: "Use a new id." }).message).toBe("The input is invalid. Use a new id.");
  expect(problem(400, { detail: "the token expired" }).message).toBe("The input is invalid: the token expired.");
});

test("errors of the input are found by their field, the first of each", () => {
  const errors = [
    { path: "branch", message: "does not exist" },
    { path: "branch", message: "is too long" },
    { path: "model", message: "has no key here" },
  ];
  const { fields, message, problem: name } = problem(400, { errors });
  expect([...fields]).toEqual([
    ["branch", "does not exist"],
    ["model", "has no key here"],
  ]);
  expect(message).toBe("The input is invalid: branch does not exist.");
  expect(name).toBe("invalid-input");
});

test("an answer that is no problem is named by its status", () => {
  for (const body of [undefined, null, "<html>", { type: 7 }, []]) {
    expect(answerError(502, body).message).toBe("The server answered 502, without a reason.");
  }
});

test("a proxy's refusal says who refused, and what to do", () => {
  expect(answerError(413, "<html>").message).toBe(
    "A proxy in front of Valet refused this as too large (413). Send less, or ask whoever runs the proxy to raise its limit.",
  );
  expect(answerError(403, undefined).message).toBe(
    "A proxy in front of Valet refused this (403). Ask whoever runs it.",
  );
  expect(problem(403, {}).message).toBe("The input is invalid.");
});

test("after a lost answer the server may have made the change; after a refusal it has not", () => {
  const errors = [unreachable(), notOurs(), problem(500, {}), answerError(504, "<html>"), answerError(408, undefined)];
  expect(errors.map(mayBeDone)).toEqual([true, true, true, true, true]);
  const refusals = [problem(429, {}), problem(400, {}), answerError(413, "<html>"), new Error("x")];
  expect(refusals.map(mayBeDone)).toEqual([false, false, false, false]);
});

test("who is signed out, and what passes by itself", () => {
  expect(isSignedOut(problem(401, {}))).toBe(true);
  expect(isSignedOut(new Error("401"))).toBe(false);
  expect([unreachable(), problem(503, {}), problem(429, {}), problem(404, {}), new Error("x")].map(isPassing)).toEqual([
    true,
    true,
    true,
    false,
    false,
  ]);
  expect(errorSentence("thrown text")).toBe("Something failed without a reason.");
});

test("a wait that the server asks for is kept, and a long one is told", () => {
  const limited = answerError(429, { type: "urn:valet:problem:too-many-requests", title: "Too many requests" }, 90_000);
  expect(limited.message).toBe("Too many requests. Try again in 1 m 30 s.");
  expect([mayRetry(limited), nextRead(5_000, limited), nextRead(5_000, null)]).toEqual([false, 90_000, 5_000]);
  const short = answerError(503, undefined, 1_000);
  expect(short.message).toBe("The server answered 503, without a reason.");
  expect([mayRetry(short), nextRead(5_000, short)]).toEqual([true, 5_000]);
  // A detail that says when is enough.
  expect(answerError(429, { type: "x", title: "No", detail: "Try again in 60 s." }, 60_000).message).toBe(
    "No. Try again in 60 s.",
  );
});
