/** What ends a warm-up, and when there is none: on a stand-in for OpenCode's process. */
import type { ValetSpans } from "@valet/shared/spans";
import { attributesToObject, INVALID_CONTEXT, type ReadableSpan, Tracer } from "@valet/shared/tracing";
import { expect, onTestFinished, test, vi } from "vitest";
import { temporaryFolder } from "../../test/folder.ts";
import { standInForOpenCode } from "../../test/stand-in-opencode.ts";
import { OpenCode } from "./opencode.ts";

const PROMPT = "POST /session/ses_1/message";
const never = new Promise<never>(() => {});
const WAIT = { timeout: 20_000, interval: 5 };

/** Starts an OpenCode, see {@link begin}, and waits until it is ready. */
async function setUp(toolNames?: readonly string[], answer?: Promise<Response>) {
  const { started, ...begun } = begin(toolNames, answer);
  await started;
  return begun;
}

/**
 * Starts an OpenCode.
 * @param toolNames the names of the loaded tools; those of Valet by default
 * @param answer the answer to prompts; there is none by default
 * @param workspaceReady settles once the repository is in place, which it is by default
 */
function begin(
  toolNames?: readonly string[],
  answer: Promise<Response> = never,
  workspaceReady: Promise<unknown> = Promise.resolve(),
) {
  const standIn = standInForOpenCode(onTestFinished, (request) => {
    if (request === PROMPT) return answer;
    return toolNames && request === "GET /experimental/tool/ids" ? Response.json(toolNames) : undefined;
  });
  const spans: ReadableSpan[] = [];
  const opencode = new OpenCode({
    workspace: temporaryFolder(),
    stateFolder: temporaryFolder(),
    modelAccess: { model: "valet/m", openAiCompatible: { baseUrl: "http://127.0.0.1:9/" }, providerKeys: {} },
    tools: { plugin: "file:///plugin.ts", url: "http://127.0.0.1:9/", secret: "secret" },
    env: { PATH: process.env.PATH },
    wall: standIn.wall,
    workspaceReady,
    tracer: new Tracer<ValetSpans>({
      scope: { name: "test" },
      processor: { onStart: (span) => void spans.push(span), onEnd: () => {} },
    }),
  });
  onTestFinished(() => opencode.stop());
  const started = opencode.ready(INVALID_CONTEXT);
  const warmUps = () => spans.filter(({ name }) => name === "valet.runner.agent_warm_up");
  const end = () =>
    vi.waitFor(() => {
      const [span] = warmUps();
      if (span?.endTime === undefined) throw new Error("the warm-up has not ended");
      return Object.values(attributesToObject([...span.attributes])).join(" ");
    }, WAIT);
  const die = async () => {
    const died = Promise.withResolvers<void>();
    onTestFinished(opencode.subscribe({ onEvent: () => {}, onReconnected: () => {}, onDeath: () => died.resolve() }));
    process.kill(standIn.pid(), "SIGKILL");
    await died.promise;
  };
  const prompted = () => vi.waitFor(() => expect(standIn.requests).toContain(PROMPT), WAIT);
  return { opencode, started, standIn, warmUps, end, prompted, die };
}

const exists = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

test("ends when the runner stops, and holds nothing up", async () => {
  const { opencode, standIn, end, prompted } = await setUp();
  await prompted();
  await opencode.stop();
  expect(await end()).toBe("workspace aborted runner_shutdown");
  expect(exists(standIn.pid())).toBe(false);
});

test("ends with OpenCode, of whose death a broken connection is the first sign", async () => {
  const { standIn, end, prompted } = await setUp();
  await prompted();
  await standIn.close();
  process.kill(standIn.pid(), "SIGKILL");
  expect(await end()).toBe("workspace error opencode_died");
});

test("of the process ends with OpenCode, too, and not as if the repository were in place", async () => {
  const { started, standIn, end, prompted } = begin(undefined, never, never);
  const failed = expect(started).rejects.toMatchObject({ reason: "died", errorType: "opencode_died" });
  await prompted();
  process.kill(standIn.pid(), "SIGKILL");
  await failed;
  expect(await end()).toBe("process error opencode_died");
});

test("is over for work that comes, which does not abort its prompt: its session is deleted once that is answered", async () => {
  const answered = Promise.withResolvers<Response>();
  const { opencode, standIn, end, prompted } = await setUp(undefined, answered.promise);
  await prompted();
  await opencode.ready(INVALID_CONTEXT);
  expect(await end()).toBe("workspace skipped agent_needed");
  answered.resolve(Response.json({}));
  await vi.waitFor(() => expect(standIn.requests).toContain("DELETE /session/ses_1"), WAIT);
  expect(standIn.requests.filter((request) => request.endsWith("/abort"))).toEqual([]);
});

test("a start that work waits for has no warm-up", async () => {
  const { opencode, end, prompted, warmUps, die } = await setUp();
  await prompted();
  await die();
  expect(await end()).toBe("workspace error opencode_died");
  await opencode.ready(INVALID_CONTEXT);
  expect(warmUps()).toHaveLength(1);
  await die();
  opencode.restart(INVALID_CONTEXT);
  await vi.waitFor(() => expect(warmUps()).toHaveLength(2), WAIT);
});

test("fails where OpenCode has not loaded the plugin that answers it, without a prompt", async () => {
  const { end, standIn } = await setUp(["bash", "read"]);
  expect(await end()).toBe("workspace error agent_warm_up_failed");
  expect(standIn.requests.filter((request) => request.startsWith("POST "))).toEqual([]);
});
