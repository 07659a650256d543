import { expect, test } from "vitest";
import { NOW } from "../sample-now.ts";
import { SILENCE_MS, watchLines } from "./watch-lines.ts";
import { WatchModel } from "./watch-model.ts";

test("without changes, a line is printed every 15 s, so that a closed pipe is noticed", () => {
  const lines: string[] = [];
  let nowMs = Date.parse("2026-11-27T08:00:00Z");
  const output = watchLines(
    (line) => lines.push(line),
    () => nowMs,
  );
  const model = new WatchModel();
  const verdict = { ...NOW.verdict, state: "idle", since: new Date(nowMs).toISOString() } as const;
  output.changed(model, model.setNow({ ...NOW, running: [], queueLength: 0, verdict }));
  const first = lines.splice(0);
  expect(first[0]).toMatch(/^08:00:00 idle: /);
  for (let looks = 0; looks < 6; looks++) {
    nowMs += SILENCE_MS / 3;
    output.changed(model, []);
  }
  expect(lines).toEqual(["08:00:15 idle for 15 s", "08:00:30 idle for 30 s"]);
});
