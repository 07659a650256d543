import { parseScenario, type Scenario } from "../../packages/scripted-model/src/index.ts";

/** A model that answers at once, or calls a tool that takes long enough to be killed meanwhile. */
export const scenario: Scenario = parseScenario(
  JSON.stringify({
    name: "soak",
    rules: [
      { name: "title", when: { agent: "title" }, reply: [{ text: "Soak" }] },
      {
        name: "slow",
        when: { userContains: "slowly" },
        turn: [
          [{ tool: "bash", arguments: { command: "sleep 3" } }, { usage: { input: 8000, output: 30 } }],
          [{ text: "Done." }, { usage: { input: 8100, cached: 7936, output: 8 } }],
        ],
      },
      {
        name: "quick",
        when: { userMatches: "." },
        reply: [{ text: "Done." }, { usage: { input: 8000, output: 8 } }],
      },
    ],
  }),
  "soak",
);
