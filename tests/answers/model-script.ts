/** What the scripted model does in the scenarios: each plants one cause, with a duration that is known. */
import { parseScenario } from "../../packages/scripted-model/src/index.ts";

/** How long each planted delay lasts, ms: far longer than what a turn needs otherwise. */
export const PLANTED_MS = 4000;
const SECONDS = PLANTED_MS / 1000;

/** What the tool of a killed runner runs at first. No other process has these arguments. */
export const FIRST_COMMAND = `sleep ${100_000 + process.pid}`;

/** Tokens that a provider has cached, and USD per million tokens: input, output, cached input. */
export const CACHED = 50_000;
export const PRICES = { input: 2, output: 8, cached: 0.5 };

const QUESTION = {
  question: "Which greeting?",
  header: "Greeting",
  options: [{ label: "Hello", description: "A greeting" }],
};
const bash = (command: string, more = {}) => ({ tool: "bash", arguments: { command, description: "Works", ...more } });
const done = { text: "Done." };

/** A rule for messages that contain its name in brackets. */
const turn = (name: string, ...replies: readonly unknown[]) => ({
  name,
  when: { userContains: `[${name}]` },
  turn: replies,
});

export const script = parseScenario(
  JSON.stringify({
    name: "answers",
    rules: [
      { name: "title", when: { agent: "title" }, reply: [{ text: "Answers" }] },
      turn("quick", [done]),
      turn("first token", [{ delayMs: PLANTED_MS }, done]),
      turn("tool", [bash(`sleep ${SECONDS}`)], [done]),
      // Runs until its runner dies, and the planted time when the turn is tried again.
      turn(
        "tool of a killed runner",
        [bash(`test -e begun || { touch begun; ${FIRST_COMMAND}; }; sleep ${SECONDS}`)],
        [done],
      ),
      turn("text and tool", [{ text: "I begin." }, bash("sleep 600")]),
      turn("half a text", [{ text: "I begin." }, { delayMs: 600_000 }, done]),
      turn("tool limit", [bash("sleep 600", { timeout: PLANTED_MS })], [done]),
      turn("failing tool", [bash(`sleep ${SECONDS}; exit 3`)], [done]),
      {
        name: "retried, at first",
        when: { userContains: "[retried]", attempt: 1 },
        reply: [{ error: { status: 503, headers: { "retry-after": `${SECONDS}` } } }],
      },
      turn("retried", [done]),
      turn(
        "sub-agent",
        [{ tool: "task", arguments: { description: "Count", prompt: "[tool] Count.", subagent_type: "general" } }],
        [done],
      ),
      turn("question", [{ tool: "question", arguments: { questions: [QUESTION] } }], [done]),
      turn("fills the cache", [done, { usage: { input: CACHED, output: 10, cached: CACHED } }]),
      turn("finds no cache", [done, { usage: { input: CACHED + 100, output: 10 } }]),
      turn("child", [{ tool: "spawn_session", arguments: { title: "Counting", prompt: "[tool] Count." } }], [done]),
      // What a child session reports, and whatever else is said.
      { name: "other", when: { userMatches: "." }, reply: [done] },
    ],
  }),
  "answers",
);
