/** An OpenCode that does not respond any more when work needs it: on a stand-in for its process. */
import type { ValetSpans } from "@valet/shared/spans";
import { attributesToObject, type ReadableSpan, Tracer } from "@valet/shared/tracing";
import { expect, onTestFinished, test, vi } from "vitest";
import { temporaryFolder } from "../../test/folder.ts";
import { standInForOpenCode } from "../../test/stand-in-opencode.ts";
import { OpenCode } from "./opencode.ts";
import type { OpenCodeOptions } from "./opencode-options.ts";

interface Started extends Pick<OpenCodeOptions, "tracer" | "health"> {
  onStart(): void;
}

/** Returns an OpenCode whose process is a stand-in; it is stopped after the test. */
function openCodeOn({ wall }: ReturnType<typeof standInForOpenCode>, { onStart, ...options }: Started): OpenCode {
  const opencode = new OpenCode({
    ...options,
    workspace: temporaryFolder(),
    stateFolder: temporaryFolder(),
    modelAccess: { model: "valet/m", openAiCompatible: { baseUrl: "http://127.0.0.1:9/" }, providerKeys: {} },
    env: { PATH: process.env.PATH },
    wall: {
      ...wall,
      enter: (...given) => {
        onStart();
        return wall.enter(...given);
      },
    },
  });
  onTestFinished(() => opencode.stop());
  return opencode;
}

test("an idle OpenCode that hangs is killed and replaced, and its successor begins the session, once", async () => {
  let isFrozen = false;
  const standIn = standInForOpenCode(onTestFinished, () => (isFrozen ? new Promise<never>(() => {}) : undefined));
  const spans: ReadableSpan[] = [];
  const tracer = new Tracer<ValetSpans>({
    scope: { name: "test" },
    processor: { onStart: (span) => void spans.push(span), onEnd: () => {} },
  });
  const onStart = () => {
    isFrozen = false;
  };
  const opencode = openCodeOn(standIn, { tracer, onStart, health: { tryMs: 50, hungMs: 200 } });
  const parent = tracer.startSpan("valet.runner.bootstrap").context;
  await opencode.ready(parent);
  const first = standIn.pid();
  isFrozen = true;
  const from = spans.length;
  const begun: string[] = [];
  await opencode.begin(parent, async (client) => begun.push(await client.createSession(parent)));
  expect(begun).toEqual(["ses_1"]);
  expect(standIn.pid()).not.toBe(first);
  expect(() => process.kill(first, 0)).toThrow("ESRCH");
  const told = spans
    .slice(from)
    .map(({ name, attributes }) => [name, attributesToObject([...attributes])["error.type"]]);
  expect(told).toEqual([
    ["valet.agent.unresponsive", "opencode_hung"],
    ["valet.runner.opencode_start", undefined],
  ]);
});

test("OpenCode has its time to start though the clock is set meanwhile, as on a machine that has just woken", async () => {
  const standIn = standInForOpenCode(onTestFinished, () => undefined);
  const tracer = new Tracer<ValetSpans>({ scope: { name: "test" }, processor: { onStart: () => {}, onEnd: () => {} } });
  const now = Date.now;
  let starts = 0;
  onTestFinished(() => void vi.restoreAllMocks());
  const onStart = () => {
    starts++;
    vi.spyOn(Date, "now").mockImplementation(() => now() + starts * 3_600_000);
  };
  const opencode = openCodeOn(standIn, { tracer, onStart });
  await opencode.ready(tracer.startSpan("valet.runner.bootstrap").context);
  expect(starts).toBe(1);
});
