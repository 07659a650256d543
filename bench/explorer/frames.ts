/** Measures how long the frames of a page are while a person turns the wheel. */
import { setTimeout as sleep } from "node:timers/promises";
import type { CDPSession, Page } from "playwright-core";

export interface Frames {
  /** From one frame to the next, ms. */
  readonly p50: number;
  readonly p95: number;
  readonly max: number;
  /** CPU time of the page's main thread for each frame, ms. */
  readonly cpu: number;
}

/** What a hand does at a place of the page. */
export interface Gesture {
  /** The place: the middle of the first element that matches. */
  readonly selector: string;
  /** Held down all the time. */
  readonly key?: "Control" | "Shift";
  /** Returns how far the wheel turns, by the number of the notch, from 0. */
  notch(number: number): { readonly x?: number; readonly y?: number };
}

/** Thirty notches a second, as a quick hand turns a wheel. */
const NOTCH_MS = 33;

/** Makes a gesture for some seconds, and records the frames from the first notch until the last one has been answered. */
export async function framesWhile(page: Page, gesture: Gesture, seconds: number): Promise<Frames> {
  const { selector, key } = gesture;
  const box = await page.locator(selector).first().boundingBox();
  if (box === null) throw new Error(`${selector} is not shown`);
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  if (key !== undefined) await page.keyboard.down(key);
  const cpuBefore = await taskMs(session);
  await page.evaluate(startRecording);
  const begun = performance.now();
  const count = Math.round((seconds * 1000) / NOTCH_MS);
  for (let number = 0; number < count; number++) {
    const { x = 0, y = 0 } = gesture.notch(number);
    await page.mouse.wheel(x, y);
    const waitMs = begun + (number + 1) * NOTCH_MS - performance.now();
    if (waitMs > 0) await sleep(waitMs);
  }
  const times = await page.evaluate(stopRecording);
  const cpuMs = (await taskMs(session)) - cpuBefore;
  if (key !== undefined) await page.keyboard.up(key);
  await session.detach();
  return framesOf(times, cpuMs);
}

function framesOf(times: readonly number[], cpuMs: number): Frames {
  const gaps = times.slice(1).map((time, index) => time - (times[index] as number));
  if (gaps.length === 0) throw new Error("no frame was drawn while the wheel turned");
  const sorted = gaps.toSorted((a, b) => a - b);
  // The browser rounds its clock to tenths; differences of such times have further digits.
  const part = (share: number) =>
    Math.round((sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] as number) * 10) / 10;
  return { p50: part(0.5), p95: part(0.95), max: part(1), cpu: cpuMs / gaps.length };
}

/** CPU time of the tasks of the page's main thread so far, ms. */
async function taskMs(session: CDPSession): Promise<number> {
  const { metrics } = await session.send("Performance.getMetrics");
  return 1000 * (metrics.find(({ name }) => name === "TaskDuration")?.value ?? Number.NaN);
}

interface Recorder {
  frameTimes?: number[];
}

function startRecording(): void {
  const times: number[] = [];
  const recorder = window as Recorder;
  recorder.frameTimes = times;
  const next = (time: number) => {
    if (recorder.frameTimes !== times) return;
    times.push(time);
    requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
}

function stopRecording(): number[] {
  const recorder = window as Recorder;
  const times = recorder.frameTimes ?? [];
  delete recorder.frameTimes;
  return times;
}
