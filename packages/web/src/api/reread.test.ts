import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ApiError } from "./problem.ts";
import { Reread, rereads } from "./reread.ts";

const AWAY = new ApiError("Away.", 503);

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

test("what could not be read is read again until it succeeds, and is known as out of date meanwhile", () => {
  let failures = 0;
  const again = new Reread(() => (++failures < 3 ? again.failed(AWAY) : again.succeeded()));
  const heard = vi.fn();
  const stop = rereads.subscribe(heard);
  again.failed(AWAY);
  expect(rereads.read()).toBe(AWAY);
  vi.runAllTimers();
  expect(failures).toBe(3);
  expect(rereads.read()).toBeUndefined();
  expect(heard).toHaveBeenCalledTimes(4);
  stop();
});

test("it is not read before the server wants it, and at once when a person asks", () => {
  const read = vi.fn();
  const again = new Reread(read);
  again.failed(new ApiError("Full.", 507, null, undefined, 60_000));
  vi.advanceTimersByTime(59_000);
  expect(read).not.toHaveBeenCalled();
  rereads.now();
  expect(read).toHaveBeenCalledTimes(1);
  again.succeeded();
  vi.runAllTimers();
  expect(read).toHaveBeenCalledTimes(1);
});

test("an error that stays is not tried again", () => {
  const read = vi.fn();
  new Reread(read).failed(new ApiError("Gone.", 404));
  vi.runAllTimers();
  expect(read).not.toHaveBeenCalled();
  expect(rereads.read()).toBeUndefined();
});
