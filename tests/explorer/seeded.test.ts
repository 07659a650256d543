/** Journeys over large and hostile data, which is in the databases of the system: see `seeding-worker.ts`. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { faultJourneys } from "./fault-journeys.ts";
import { hostileJourneys } from "./hostile-journeys.ts";
import { hostileSeed } from "./hostile-seeds.ts";
import { hugeTraceJourneys } from "./huge-trace-journeys.ts";
import { largeJourneys } from "./large-journeys.ts";
import { largeSeed } from "./large-seeds.ts";
import { lifeJourneys } from "./life-journeys.ts";
import { ownerJourneys } from "./owner-journeys.ts";
import { type SeededExplorer, startSeeded } from "./seeded.ts";
import { signInJourneys } from "./sign-in-journeys.ts";
import { traceJourneys } from "./trace-journeys.ts";
import { turnsJourneys } from "./turns-journeys.ts";
import { typingJourneys } from "./typing-journeys.ts";

let explorer: SeededExplorer;
beforeAll(async () => {
  explorer = await startSeeded({ VALET_TRACE_URL_TEMPLATE: "https://jaeger.example/trace/{traceId}" });
  await explorer.seed(largeSeed(Date.now()));
}, 90_000);
afterAll(() => explorer?.close());

describe("much of everything", () => largeJourneys(() => explorer));
describe("turns across sessions", () => turnsJourneys(() => explorer));
describe("a hostile trace", () => traceJourneys(() => explorer));
describe("hostile text", () => {
  beforeAll(() => explorer.seed(hostileSeed(Date.now())));
  hostileJourneys(() => explorer);
});
describe("a life of days", () => lifeJourneys(() => explorer));
describe("faults", () => faultJourneys(() => explorer));
describe("writing", () => typingJourneys(() => explorer));
describe("a huge trace", () => hugeTraceJourneys(() => explorer));
describe("another owner", () => ownerJourneys(() => explorer));
describe("signing in", () => signInJourneys(() => explorer));

test("no page has violated its policy, logged an error or asked another origin", () => {
  expect(explorer.misdeeds()).toEqual({ policy: [], errors: [], foreign: [] });
});

test("what the page may not do is refused, and noticed by these tests", async () => {
  const { page, misdeeds } = await explorer.open();
  await page.goto(`${explorer.up.url}/sign-in`);
  await page.getByRole("heading", { name: "Sign in to Valet" }).waitFor();
  const { port } = new URL(explorer.up.url);
  const results = await page.evaluate(async (foreign) => {
    const attempt = async (what: () => unknown) => {
      try {
        await what();
        return "done";
      } catch {
        return "refused";
      }
    };
    return [
      await attempt(() => {
        document.body.innerHTML = "<img src=x onerror=alert(1)>";
      }),
      await attempt(() => fetch(foreign)),
    ];
  }, `http://localhost:${port}/`);
  expect(results).toEqual(["refused", "refused"]);
  const refused = () => misdeeds.policy.map((text) => text.split(" ")[0]);
  await expect.poll(refused).toEqual(["require-trusted-types-for", "connect-src"]);
});
