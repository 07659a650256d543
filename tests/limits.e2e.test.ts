/**
 * An agent that tries to use up everything: in its real shell it exhausts memory, processes, disk and open files. If this machine can
 * build a wall, every limit is tested behind it, and those after which Valet ends all processes are tested without a wall as well, since
 * Valet ends them in another way there. All tests are skipped where no control group can be written.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readSpans } from "../packages/cli/src/trace-tree.ts";
import { findNoWall } from "../packages/sandbox/src/index.ts";
import { parseScenario } from "../packages/scripted-model/src/index.ts";
import { canLimitAll } from "./control-groups.ts";
import { ATTACKS, LIMITS } from "./limits/attacks.ts";
import { ScriptedSystem } from "./scripted-system.ts";

const TIMEOUT_MS = 120_000;
const START_TIMEOUT_MS = 180_000;
const missing = await findNoWall();
const isLimited = await canLimitAll();

const scenario = parseScenario(
  JSON.stringify({
    name: "limits",
    rules: [...ATTACKS, { name: "other", when: {}, turn: [[{ text: "Still here." }]] }],
  }),
  "limits",
);

/** The isolation with which every limit is tested. */
const WHOLE = missing === undefined ? "bwrap" : "none";

describe.each(["bwrap", "none"] as const)("an agent with isolation %s", (isolation) => {
  const isWhole = isolation === WHOLE;
  describe.skipIf(!isLimited || (isolation === "bwrap" && missing !== undefined))(
    `that takes what it can${isLimited ? "" : " (skipped: no control group can be written here)"}${missing === undefined ? "" : ` (skipped: ${missing.reason})`}`,
    () => {
      let system: ScriptedSystem;
      let id: string;
      let other: string;

      beforeAll(async () => {
        system = await ScriptedSystem.start(scenario, LIMITS, ["--isolation", isolation]);
        [{ id }, { id: other }] = await Promise.all([system.api.createSession({}), system.api.createSession({})]);
        await say(other, "Are you there?");
      }, START_TIMEOUT_MS);

      afterAll(() => system?.close(), TIMEOUT_MS);

      const say = (sessionId: string, content: string) => system.say(sessionId, content, TIMEOUT_MS);

      /** Returns the spans of a message with this name, as their error types and attributes. */
      async function spansOf(traceId: string | undefined, name: string) {
        if (traceId === undefined) throw new Error("no trace");
        const spans = readSpans(await system.api.trace(id, traceId));
        return spans.filter((span) => span.name === name).map(({ attributes }) => attributes);
      }

      /** Attacks, and expects the cause on the tool call. The turn goes on, unless the agent itself was ended. */
      async function attack(content: string, errorType: string) {
        const message = await say(id, content);
        const [tool] = await spansOf(message.traceId, "execute_tool bash");
        expect(tool, JSON.stringify(message)).toMatchObject({ "error.type": errorType });
        return message;
      }

      // One after the other, in one session: each attack also shows that the session went on after the one before.
      test("memory: the kernel ends the program, and the turn goes on", { timeout: TIMEOUT_MS }, async () => {
        const { outcome, traceId } = await attack("[memory]", "sandbox_out_of_memory");
        expect(outcome).toBe("ok");
        const [turn] = await spansOf(traceId, "valet.turn");
        expect(Number(turn?.["valet.usage.memory_peak_bytes"])).toBeGreaterThan(100_000_000);
        expect(Number(turn?.["valet.usage.cpu_ms"])).toBeGreaterThan(100);
        expect(turn).toMatchObject({ "valet.sandbox.isolation": isolation });
      });

      test("memory: a program that is the whole command is ended, and the call says so at once", {
        timeout: TIMEOUT_MS,
      }, async () => {
        const { outcome, traceId } = await attack("[alone]", "sandbox_out_of_memory");
        expect(outcome).toBe("ok");
        expect(await spansOf(traceId, "execute_tool bash")).toMatchObject([{ "process.exit.code": 137 }]);
      });

      test("processes: no further one starts, and those that stay are ended", { timeout: TIMEOUT_MS }, async () => {
        await attack("[processes]", "sandbox_out_of_processes");
      });

      if (isWhole) {
        test("memory: a call at the same time that fails by itself is not blamed on it", {
          timeout: TIMEOUT_MS,
        }, async () => {
          const { traceId } = await say(id, "[beside]");
          const tools = await spansOf(traceId, "execute_tool bash");
          expect(tools.map((each) => [each["process.exit.code"], each["error.type"]]).sort()).toEqual([
            [1, undefined],
            [137, "sandbox_out_of_memory"],
          ]);
        });

        test("memory: the agent itself is ended, and the turn says why", { timeout: TIMEOUT_MS }, async () => {
          const message = await attack("[itself]", "sandbox_out_of_memory");
          expect(message).toMatchObject({ outcome: "error", errorType: "sandbox_out_of_memory" });
          expect(await spansOf(message.traceId, "valet.turn")).toMatchObject([
            { "error.type": "sandbox_out_of_memory" },
          ]);
        });

        test("a file that is too large: its program is ended", { timeout: TIMEOUT_MS }, async () => {
          await attack("[file]", "sandbox_disk_full");
        });

        test("disk: the turn is ended, and the next one can tidy up", { timeout: TIMEOUT_MS }, async () => {
          const message = await attack("[disk]", "sandbox_disk_full");
          expect(message).toMatchObject({ outcome: "error", errorType: "sandbox_disk_full" });
          expect(await say(id, "[tidies]")).toMatchObject({ outcome: "ok" });
        });

        test("open files: the program gets no more, and its call says so", { timeout: TIMEOUT_MS }, async () => {
          const { traceId } = await attack("[files]", "sandbox_out_of_files");
          const turn = (await system.api.turns(id)).find((each) => each.trace_id === traceId);
          expect(turn?.cpu_ms).toBeGreaterThan(0);
        });
      }

      test("in the end the session works, in the same sandbox, and so does another one", {
        timeout: TIMEOUT_MS,
      }, async () => {
        const answers = await Promise.all([say(id, "Are you there?"), say(other, "And you?")]);
        expect(answers.map(({ outcome }) => outcome)).toEqual(["ok", "ok"]);
        const sessions = await Promise.all([id, other].map((each) => system.api.session(each)));
        expect(sessions.map(({ generation }) => generation)).toEqual([1, 1]);
      });
    },
  );
});
