/** The conversation of a session, by the keyboard alone, on a running `valet up` with a scripted model. */
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseScenario, type ScriptedModel, startScriptedModel } from "../../packages/scripted-model/src/index.ts";
import { modelVariables } from "../valet-up.ts";
import { type Explorer, startExplorer } from "./page.ts";

const HOSTILE = '<img src=x onerror="alert(1)"> \u202Eright\u202C zero\u200Bwidth <script>alert(2)</script>';
const WORDS = Array.from({ length: 60 }, (_, index) => `word${index}`);
const QUESTION = {
  question: `Change the tests? ${HOSTILE}`,
  header: "Tests",
  options: [
    { label: "Yes, the tests", description: "as last time" },
    { label: "No <b>never</b>", description: HOSTILE },
  ],
};
const SCENARIO = {
  rules: [
    { name: "title", when: { agent: "title" }, reply: [{ text: HOSTILE }] },
    {
      name: "ask",
      when: { userContains: "[ask]" },
      turn: [
        [
          { text: WORDS.join(" "), chunkMs: 25 },
          { tool: "bash", arguments: { command: "echo begun; exit 3" } },
        ],
        [
          {
            text: `${HOSTILE}\n\n[here](javascript:alert(3)) and [there](https://example.com/x) ![seen](https://example.com/y.png)`,
          },
          { tool: "question", arguments: { questions: [QUESTION] } },
        ],
        [{ text: "So the tests it is." }],
      ],
    },
    { name: "other", turn: [[{ text: "Understood." }]] },
  ],
};

let model: ScriptedModel;
let explorer: Explorer;
let page: Page;
let sessionId: string;
beforeAll(async () => {
  model = await startScriptedModel({ scenario: parseScenario(JSON.stringify(SCENARIO), "session.json") });
  explorer = await startExplorer(modelVariables(model));
  sessionId = (await explorer.up.api.createSession({})).id;
  ({ page } = await explorer.openSignedIn(`/sessions/${sessionId}`));
}, 90_000);
afterAll(async () => {
  await explorer.close();
  await model.close();
});

const messages = () => page.getByRole("region", { name: "Messages and turns" });

test("a message that is written and sent by keys is answered word by word", async () => {
  await page.getByText("Nothing has been said yet").waitFor();
  await page.keyboard.press("r");
  await page.keyboard.type(`Mend it [ask] ${HOSTILE}`);
  await page.keyboard.press("Control+Enter");
  await messages().getByText("Mend it [ask]", { exact: false }).waitFor();
  // The beginning shows before the end has come.
  const answer = messages().getByText(/^word0 /);
  await answer.waitFor();
  expect(await answer.textContent()).not.toContain(WORDS.at(-1));
  await messages().getByText(WORDS.join(" ")).waitFor();
  expect(await page.getByLabel("Message", { exact: true }).last().inputValue()).toBe("");
});

test("a tool call is one line with its outcome, which opens to what went in and out", async () => {
  // Its command ends so, too.
  await messages().getByText("exit 3", { exact: true }).waitFor();
  await page.keyboard.press("Escape");
  const call = page.getByRole("button", { name: /^bash echo begun/ });
  await call.focus();
  await page.keyboard.press("ArrowRight");
  await messages().getByText("begun", { exact: true }).waitFor();
  expect(await call.getAttribute("aria-expanded")).toBe("true");
  expect(new URL(page.url()).searchParams.get("span")).toMatch(/^[0-9a-f]{16}$/);
  await page.keyboard.press("ArrowLeft");
});

test("what an agent writes stays text, and leads to shown places only", async () => {
  await page.getByRole("region", { name: /^The agent asks/ }).waitFor();
  // What the agent asks overtakes the text that it wrote before.
  await expect.poll(() => messages().textContent(), { timeout: 10_000 }).toContain("there (example.com)");
  const text = await messages().textContent();
  expect(text).toContain('<img src=x onerror="alert(1)">');
  expect(text).toContain("<script>alert(2)</script>");
  expect(text).toContain("here (javascript:alert(3))");
  expect(text).toContain("there (example.com)");
  expect(await messages().locator("img, script, iframe").count()).toBe(0);
  const links = await messages()
    .locator("a[target]")
    .evaluateAll((all) => all.map((link) => link.outerHTML));
  expect(links).toEqual([expect.stringContaining('href="https://example.com/x"')]);
  expect(links[0]).toContain('rel="noopener noreferrer nofollow"');
});

test("a key answers the question, and the page says what was answered", async () => {
  await page.keyboard.press("1");
  await messages().getByText("So the tests it is.").waitFor();
  await messages()
    .getByText(/answered: Yes, the tests/)
    .waitFor();
  expect((await explorer.up.api.session(sessionId)).questions).toEqual([]);
});

test("a draft survives a reload, and the page follows what others send", async () => {
  await page.keyboard.press("m");
  await page.keyboard.type("half a thought");
  await page.reload();
  const field = page.getByRole("form", { name: "Message" }).getByRole("textbox");
  await field.waitFor();
  expect(await field.inputValue()).toBe("half a thought");
  await explorer.up.api.sendMessage(sessionId, { content: "from elsewhere" });
  await messages().getByText("Understood.").waitFor();
});

test("no page has violated its policy, logged an error or asked another origin", () => {
  expect(explorer.misdeeds()).toEqual({ policy: [], errors: [], foreign: [] });
});
