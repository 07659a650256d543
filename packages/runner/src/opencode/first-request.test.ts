import { expect, test, vi } from "vitest";
import { OpenCodeError } from "./client.ts";
import { answerOf } from "./first-request.ts";

const never = new Promise<never>(() => {});
const again = () => vi.fn(async () => "from another");

test("an answer does not wait for the health check", async () => {
  const another = again();
  expect(await answerOf(Promise.resolve("answer"), never, another)).toBe("answer");
  expect(another).not.toHaveBeenCalled();
});

test("a refusal is an answer", async () => {
  const refused = Promise.reject(new OpenCodeError("GET /session/:id", 500));
  await expect(answerOf(refused, never, again())).rejects.toThrow("GET /session/:id: 500");
});

test("a request to an OpenCode that hangs is made again, whether it has failed or is open", async () => {
  expect(await answerOf(never, Promise.resolve(true), again())).toBe("from another");
  const lost = Promise.reject(new OpenCodeError("POST /session", undefined));
  const late = new Promise<boolean>((resolve) => setTimeout(resolve, 10, true));
  expect(await answerOf(lost, late, again())).toBe("from another");
});

test("a request that got no answer from a healthy OpenCode fails after the check, and is not made again here", async () => {
  const another = again();
  const lost = Promise.reject(new OpenCodeError("POST /session", undefined));
  await expect(answerOf(lost, Promise.resolve(false), another)).rejects.toThrow("no answer");
  expect(another).not.toHaveBeenCalled();
});

test("the answer of a healthy OpenCode may come after the check", async () => {
  const asked = Promise.withResolvers<string>();
  const answer = answerOf(asked.promise, Promise.resolve(false), again());
  await new Promise((resolve) => setTimeout(resolve, 5));
  asked.resolve("late");
  expect(await answer).toBe("late");
});
