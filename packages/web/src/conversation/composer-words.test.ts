import { expect, test } from "vitest";
import { answerError, unreachable } from "../api/problem.ts";
import { failureWords } from "./composer-words.ts";

test("a message whose answer was lost may have arrived: the same one is sent again", () => {
  for (const error of [unreachable(), answerError(502, "<html>")]) {
    expect(failureWords(error, false)).toEqual({
      before: "",
      after: "The message may have arrived. Your text is kept: send it again unchanged, and it arrives once.",
    });
  }
});

test("a message that was refused was not sent, and is only sent again if that may help", () => {
  const before = "It was not sent. ";
  expect(failureWords(answerError(413, "<html>"), true)).toEqual({
    before,
    after: "Your text and your files are kept.",
  });
  expect(failureWords(answerError(429, undefined), false)).toEqual({
    before,
    after: "Your text is kept: send it again later.",
  });
});
