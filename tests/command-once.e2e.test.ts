/** The whole system: the command of a workflow's step runs once, though its runner goes on while nobody hears it. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseScenario } from "../packages/scripted-model/src/index.ts";
import { guardiansOf, until } from "./host-processes.ts";
import { ScriptedSystem } from "./scripted-system.ts";

const TIMEOUT_MS = 60_000;

const scenario = parseScenario(
  JSON.stringify({
    name: "held",
    rules: [
      { name: "title", when: { agent: "title" }, reply: [{ text: "Held" }] },
      { name: "held", when: { userContains: "mend" }, reply: [{ hold: "answer" }, { text: "Mended." }] },
      { name: "quick", when: { userMatches: "." }, reply: [{ text: "Done." }] },
    ],
  }),
  "held",
);
const STEPS = [
  { name: "a", run: "true" },
  { name: "b", prompt: "mend" },
  { name: "c", run: "echo c >> c.txt" },
  { name: "d", prompt: "go on" },
  { name: "e", run: "cat c.txt" },
];
/** How a runner's journal says that `c` has begun. */
const C_BEGAN = '"state":{"index":2,"status":"running"}';

test("`valet up` is killed during a prompt, and the runner comes to the next command before it ends: that runs once", async () => {
  const system = await ScriptedSystem.start(scenario, { VALET_GRACE_MS: "2000" });
  try {
    const { id: sessionId } = await system.api.createSession({});
    const { executionId } = await system.api.startWorkflow(sessionId, { name: "once", steps: STEPS });
    await until("the prompt", () => system.model.requests().some(({ rule }) => rule === "held"), TIMEOUT_MS);
    const runners = system.valet.find("runner", sessionId);
    // What ends the sandbox after its host comes late, as on a machine that is busy.
    const guardians = guardiansOf(system.stateDir);
    for (const pid of guardians) process.kill(pid, "SIGSTOP");
    await system.valet.crash();
    system.model.release("answer");
    const isLeft = () => system.valet.find("runner", sessionId).some((pid) => runners.includes(pid));
    await until("the command's step", () => hasBegun(system.stateDir) || !isLeft(), TIMEOUT_MS);
    for (const pid of guardians) process.kill(pid, "SIGCONT");
    await until("the runner's end", () => !isLeft(), TIMEOUT_MS);

    await system.startAgain();
    const read = () => system.api.workflow(sessionId, executionId);
    await until("the workflow's end", async () => (await read()).status === "done", TIMEOUT_MS);
    const { outcome, attempts, steps } = await read();
    expect(steps.at(-1)).toMatchObject({ outcome: "ok", output: "c\n" });
    expect([outcome, attempts]).toEqual(["ok", 2]);
  } finally {
    await system.close();
  }
}, 180_000);

function hasBegun(stateDir: string): boolean {
  const journals = globSync(join(stateDir, "broker", "**", "journal.sqlite*"));
  return journals.some((path) => readFileSync(path).includes(C_BEGAN));
}
