/** A session with work to look at: turns that edit a repository with hostile names, and one whose model fails. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { waitFor, waitForMessage } from "../../packages/cli/src/wait.ts";
import { parseScenario, startScriptedModel } from "../../packages/scripted-model/src/index.ts";
import type { SessionView } from "../../packages/shared/src/protocol/session-view.ts";
import { modelVariables } from "../valet-up.ts";
import { type Explorer, startExplorer } from "./page.ts";

const TIMEOUT_MS = 120_000;

/** As the name of a file and in its content: markup, text that runs backwards, and what has no width. */
export const HOSTILE = "<img src=x onerror=alert(1)> \u202egnp.exe\u200b";
export const BIG_LINES = 5_000;

const QUESTION = {
  question: "Change the tests, too?",
  header: "Tests",
  options: [
    { label: "Yes, the tests", description: "as last time" },
    { label: "No", description: "they stay" },
  ],
};
/** USD per million tokens: input, output, input from the cache. */
const PRICES = "3/15/0.3";
const usage = { input: 11_400, cached: 9_000, output: 377 };
const SCENARIO = {
  name: "work",
  rules: [
    {
      name: "edit",
      when: { userContains: "[edit]" },
      turn: [
        [{ tool: "write", arguments: { filePath: "src/hello.ts", content: "export const hello = 1;\n" } }, { usage }],
        [
          {
            tool: "bash",
            arguments: {
              command: `printf '%s\\n' '${HOSTILE}' > '${HOSTILE}' && printf 'one\\n2\\n' > file.txt && git add -A && git commit -qm 'a change <b>of</b> hostile names' && echo later > later.txt && sleep 1`,
            },
          },
          { usage },
        ],
        [{ text: "Done." }, { usage }],
      ],
    },
    {
      name: "big",
      when: { userContains: "[big]" },
      turn: [
        [
          {
            tool: "bash",
            arguments: {
              command: `seq 1 ${BIG_LINES} > big.txt && echo more >> file.txt && head -c 1200000 /dev/zero | tr '\\0' a > huge.txt`,
            },
          },
        ],
        [{ text: "Done." }],
      ],
    },
    {
      name: "fail",
      when: { userContains: "[fail]" },
      reply: [{ error: { status: 401, message: `No such key ${HOSTILE}` } }],
    },
    {
      name: "ask",
      when: { userContains: "[ask]" },
      turn: [
        [{ tool: "read", arguments: { filePath: "missing.txt" } }, { usage }],
        [{ tool: "question", arguments: { questions: [QUESTION] } }],
        [{ tool: "write", arguments: { filePath: "src/answered.ts", content: "export const answered = true;\n" } }],
        [{ text: "So the tests it is." }],
      ],
    },
    {
      name: "stream",
      when: { userContains: "[stream]" },
      reply: [{ text: "One word and ".repeat(4_000), chunkMs: 100 }],
    },
    { name: "slow", when: { userContains: "[slow]" }, reply: [{ delayMs: 600_000 }, { text: "Late." }] },
  ],
};

export interface Work {
  readonly explorer: Explorer;
  readonly sessionId: string;
  /** The ids of the messages by what they ask for. */
  readonly messages: Readonly<Record<"edit" | "big" | "fail", string>>;
  /** Sends a message to a new session of the same repository. @returns the session, once what it waits for is true of it */
  begin(title: string, what: "ask" | "stream", isReady: (session: SessionView) => boolean): Promise<string>;
  close(): Promise<void>;
}

/** Starts the system and the browser, and has the agent work. */
export async function startWork(): Promise<Work> {
  const folder = mkdtempSync(join(tmpdir(), "valet-explorer-work-"));
  const repository = makeRepository(folder);
  const model = await startScriptedModel({ scenario: parseScenario(JSON.stringify(SCENARIO), "work") });
  const explorer = await startExplorer({ ...modelVariables(model), VALET_MODEL_PRICES: PRICES });
  const { api } = explorer.up;
  const { id } = await api.createSession({ repoUrl: `file://${repository}`, title: `Work on ${HOSTILE}` });
  const say = async (what: string) => {
    const { messageId } = await api.sendMessage(id, { content: `[${what}] ${HOSTILE}` });
    await waitForMessage(api, id, messageId, () => {}, TIMEOUT_MS);
    return messageId;
  };
  const messages = { edit: await say("edit"), big: await say("big"), fail: await say("fail") };
  const isKnown = ({ unknown_turns }: { unknown_turns: number }) => unknown_turns === 0;
  await waitFor("the changes", () => api.diff(id, { from: "first" }), isKnown, TIMEOUT_MS);
  return {
    explorer,
    sessionId: id,
    messages,
    begin: async (title, what, isReady) => {
      const { id } = await api.createSession({ repoUrl: `file://${repository}`, title });
      await api.sendMessage(id, { content: `[${what}]` });
      await waitFor(title, () => api.session(id), isReady, TIMEOUT_MS);
      return id;
    },
    close: async () => {
      await explorer.close();
      await model.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function makeRepository(folder: string): string {
  const repository = join(folder, "repo");
  mkdirSync(repository);
  writeFileSync(join(repository, "file.txt"), "one\ntwo\n");
  const git = (...args: string[]) =>
    execFileSync("git", ["-c", "user.name=A", "-c", "user.email=a@example.com", ...args], { cwd: repository });
  git("init", "--quiet", "--initial-branch=main");
  git("add", ".");
  git("commit", "--quiet", "--message", "first");
  return repository;
}
