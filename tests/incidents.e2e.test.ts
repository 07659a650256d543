/**
 * Five incidents, all at once: a model hangs, a tool never ends, a clone hangs, the agent asks a question, a runner is frozen. For each,
 * one command says which session it is, what it waits for, and what to do.
 */
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { waitFor } from "../packages/cli/src/wait.ts";
import { parseScenario } from "../packages/scripted-model/src/index.ts";
import type { AttentionItem, NowView } from "../packages/shared/src/protocol/now.ts";
import { resume } from "./processes.ts";
import { ScriptedSystem } from "./scripted-system.ts";
import { runCli } from "./valet-up.ts";

const TIMEOUT_MS = 400_000;
const HOUR_MS = 3_600_000;
const QUESTION = {
  question: "Which greeting?",
  header: "Greeting",
  options: [{ label: "Hello", description: "A greeting" }],
};

const scenario = parseScenario(
  JSON.stringify({
    name: "incidents",
    rules: [
      { name: "hangs", when: { userContains: "[model]" }, reply: ["hang"] },
      {
        name: "runs",
        when: { userContains: "[tool]" },
        turn: [
          [{ tool: "bash", arguments: { command: "sleep 3600", description: "Sleeps", timeout: HOUR_MS } }],
          [{ text: "Done." }],
        ],
      },
      {
        name: "asks",
        when: { userContains: "[question]" },
        turn: [[{ tool: "question", arguments: { questions: [QUESTION] } }], [{ text: "Done." }]],
      },
    ],
  }),
  "incidents",
);

let system: ScriptedSystem;
/** A git host that accepts connections and never answers. */
let host: Server;

beforeAll(async () => {
  host = createServer(() => {}).listen(0, "127.0.0.1");
  await once(host, "listening");
  system = await ScriptedSystem.start(scenario, {
    VALET_LINK_SILENCE_MS: "40000",
    // After the silence and this time a frozen runner is lost, and its sandbox is replaced: not before all five have been seen.
    VALET_GRACE_MS: String(TIMEOUT_MS),
    VALET_MAX_AWAKE: "6",
    VALET_MAX_STARTING: "3",
  });
}, TIMEOUT_MS);

afterAll(async () => {
  await system?.close();
  host.close();
}, TIMEOUT_MS);

const see = (id: string, is: (now: NowView) => boolean): Promise<NowView> =>
  waitFor(`the verdict on ${id}`, () => system.api.now(id), is, TIMEOUT_MS);
const noticed = async (id: string, state: string): Promise<AttentionItem> => {
  const find = async () => (await system.api.attention()).find(({ sessionId }) => sessionId === id);
  const found = await waitFor(`attention for ${id}`, find, (item) => item?.verdict.state === state, TIMEOUT_MS);
  return found as AttentionItem;
};
const cli = async (...args: string[]) => (await runCli(["--state", system.stateDir, ...args])).stdout;
const isAtWork = ({ running }: NowView) => running.some(({ steps }) => steps.length > 0);

test(
  "status and attention name the cause in each of five incidents",
  async () => {
    const { api } = system;
    const create = async (prompt: string) => (await api.createSession({ prompt })).id;
    const frozen = await create("[tool] and the runner is frozen");
    const model = await create("[model]");
    const tool = await create("[tool]");
    const question = await create("[question]");
    const { port } = host.address() as AddressInfo;
    const { id: clone } = await api.createSession({
      repoUrl: `https://127.0.0.1:${port}/x.git`,
      prompt: "What does this project do?",
    });

    await see(frozen, isAtWork);
    const [pid] = system.valet.find("runner", frozen);
    process.kill(pid as number, "SIGSTOP");
    try {
      // The agent asks a question.
      const asked = await noticed(question, "waiting_for_person");
      expect(asked.verdict.why).toBe("The agent asks a question.");
      expect((await api.now(question)).verdict.why).toBe("The agent asks: Which greeting?");
      expect(await cli("status", question)).toContain(asked.verdict.command as string);

      // The clone hangs.
      const cloning = await see(clone, ({ start }) => start?.doing?.includes("git clone") === true);
      expect(cloning.verdict).toMatchObject({ state: "waiting_for_sandbox", rule: "sandbox_starting" });
      expect(await cli("status", clone)).toContain(`\`git clone\` fetches https://127.0.0.1:${port}/x`);

      // The tool never ends; its own limit is not over.
      const running = await see(tool, isAtWork);
      expect(running.verdict).toMatchObject({ state: "working" });
      expect(await cli("status", tool)).toContain("The tool `bash` runs, within its own limit of 1 h.");

      // The runner is frozen.
      const stuck = await noticed(frozen, "stuck");
      expect(stuck.verdict).toMatchObject({ rule: "runner_silent", threshold_ms: 40_000 });
      expect(stuck.verdict.why).toContain("Its process may be frozen");

      // The model hangs.
      const quiet = await noticed(model, "quiet");
      expect(quiet.verdict).toMatchObject({ rule: "step_quiet", threshold_ms: 60_000 });
      expect(quiet.verdict.why).toMatch(/^The model `\S+` has not begun its answer\./);

      const list = await cli("attention");
      expect(list).toContain(`${question}  waiting_for_person for `);
      expect(list).toContain(`${model}  quiet for `);
      expect(list).not.toContain(tool);
      const order = (await api.attention()).map(({ verdict }) => verdict.since);
      expect(order).toEqual(order.toSorted());
    } finally {
      resume(pid as number);
    }

    // What the list says to do is what helps.
    await cli("reply", question, (await api.session(question)).questions[0]?.id as string, "Hello");
    await see(question, ({ verdict }) => verdict.state === "idle");
    // The list, which is in the database, follows the session.
    const listed = async () => (await api.attention()).map(({ sessionId }) => sessionId);
    await expect.poll(listed).not.toContain(question);
  },
  TIMEOUT_MS,
);
