import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Alone } from "./alone.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function setUp() {
  const state = { isWorking: false, alone: 0 };
  const alone = new Alone({ limitMs: 1000, isWorking: () => state.isWorking, onAlone: () => state.alone++ });
  return { state, alone };
}

test("a runner without a link and without work is alone after the limit, once", () => {
  const { state, alone } = setUp();
  alone.begin();
  vi.advanceTimersByTime(999);
  expect(state.alone).toBe(0);
  vi.advanceTimersByTime(5000);
  expect(state.alone).toBe(1);
});

test("a link ends the count, and its loss begins another one", () => {
  const { state, alone } = setUp();
  alone.begin();
  vi.advanceTimersByTime(900);
  alone.end();
  vi.advanceTimersByTime(5000);
  alone.begin();
  vi.advanceTimersByTime(900);
  expect(state.alone).toBe(0);
  vi.advanceTimersByTime(100);
  expect(state.alone).toBe(1);
});

test("work goes on, and the count begins anew", () => {
  const { state, alone } = setUp();
  state.isWorking = true;
  alone.begin();
  vi.advanceTimersByTime(1500);
  expect(state.alone).toBe(0);
  state.isWorking = false;
  vi.advanceTimersByTime(500);
  expect(state.alone).toBe(1);
});
