/** The conversation of a session, by the keyboard alone, on a running `valet up` with a scripted model. */
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseScenario, type ScriptedModel, startScriptedModel } from "../../packages/scripted-model/src/index.ts";
import { modelVariables } from "../valet-up.ts";
import { lifecycleJourneys } from "./lifecycle-journeys.ts";
import { lostRunnerJourneys } from "./lost-runner-journeys.ts";
import { type Explorer, startExplorer } from "./page.ts";
import { permissionJourneys } from "./permission-journeys.ts";
import { timelineJourneys } from "./timeline-journeys.ts";

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
          { text: WORDS.slice(0, 30).join(" ") },
          { hold: "the other words" },
          { text: ` ${WORDS.slice(30).join(" ")}` },
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
    {
      name: "commands",
      when: { userContains: "[commands]" },
      turn: [
        [{ tool: "bash", arguments: { command: "touch first; echo ran $((20 + 1))" } }],
        [{ tool: "bash", arguments: { command: "echo second" } }],
        [{ tool: "bash", arguments: { command: "echo second" } }],
        [{ tool: "bash", arguments: { command: "pwd && echo third" } }],
        [{ text: "All of it ran." }],
      ],
    },
    {
      name: "work",
      when: { userContains: "[work]" },
      turn: [
        [{ tool: "bash", arguments: { command: "true" } }, { usage: { input: 8200, cached: 8000, output: 9 } }],
        [{ text: "Done." }, { usage: { input: 8400, cached: 8200, output: 9 } }],
      ],
    },
    { name: "slow", when: { userContains: "[slow]" }, reply: [{ delayMs: 600_000 }, { text: "Late." }] },
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
  model.release("the other words");
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
  await expect.poll(() => new URL(page.url()).searchParams.get("span")).toMatch(/^[0-9a-f]{16}$/);
  await page.keyboard.press("ArrowLeft");
});

test("what an agent writes stays text, and leads to shown places only", async () => {
  await page.getByRole("region", { name: /^The agent asks/ }).waitFor();
  // What the agent asks overtakes the text that it wrote before.
  await expect.poll(() => messages().textContent()).toContain("there (example.com)");
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

const composer = () => page.getByRole("form", { name: "Message" });
const sent = async () => (await explorer.up.api.messages(sessionId)).map(({ content }) => content);

test("a message that does not arrive is kept, and arrives once however often it is sent", async () => {
  const field = composer().getByRole("textbox", { name: "Message" });
  await field.fill("just once");
  const refusal = { status: 413, contentType: "text/html", body: "<title>Too large</title>" };
  await page.route("**/messages", (route) => route.fulfill(refusal));
  await composer().getByRole("button", { name: "Send" }).click();
  const said = composer().getByRole("alert").filter({ hasText: "refused this as too large (413)" });
  await said.waitFor();
  expect(await said.textContent()).toMatch(/^It was not sent\. A proxy .* raise its limit\. Your text is kept\.$/);
  await page.unroute("**/messages");
  await page.route("**/messages", (route) => route.abort());
  await composer().getByRole("button", { name: "Send" }).click();
  await composer().getByRole("alert").getByText("The message may have arrived.").waitFor();
  expect(await field.inputValue()).toBe("just once");
  await page.unroute("**/messages");
  await composer().getByRole("button", { name: "Send again" }).dblclick();
  await expect.poll(() => field.inputValue()).toBe("");
  expect((await sent()).filter((content) => content === "just once")).toHaveLength(1);
});

/** Sends what is written, and opens another page and this one again meanwhile. @returns a function that lets the message arrive */
async function sendAndLookElsewhere(): Promise<() => void> {
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  await page.route("**/messages", async (route) => {
    await held;
    await route.continue();
  });
  await composer().getByRole("button", { name: "Send" }).click();
  const tabs = page.getByRole("navigation", { name: "Session" });
  await tabs.getByRole("link", { name: "Changes" }).click();
  // A page that is still being loaded hides the one before.
  await page.locator("textarea").waitFor({ state: "detached" });
  await tabs.getByRole("link", { name: "Session" }).click();
  return release;
}

test("a message that is on its way while its writer looks at another page arrives once, and is no draft any more", async () => {
  const field = composer().getByRole("textbox", { name: "Message" });
  await field.fill("meanwhile elsewhere");
  const release = await sendAndLookElsewhere();
  await composer().getByRole("button", { name: "Sending…" }).waitFor();
  await field.press("Control+Enter");
  release();
  await expect.poll(() => field.inputValue()).toBe("");
  await page.unrouteAll({ behavior: "wait" });
  await expect.poll(sent).toContain("meanwhile elsewhere");
  expect((await sent()).filter((content) => content === "meanwhile elsewhere")).toHaveLength(1);
});

test("files are attached by button, paste and drop; what is too large is refused before it is sent; a new channel begins", async () => {
  const zip = Buffer.from([0x50, 0x4b, 3, 4, 0xff, 0]);
  await composer()
    .locator('input[type="file"]')
    .setInputFiles([
      { name: "notes.md", mimeType: "", buffer: Buffer.from("# Notes") },
      { name: `${HOSTILE.slice(0, 40)}.zip`, mimeType: "application/zip", buffer: zip },
      { name: "huge.bin", mimeType: "", buffer: Buffer.alloc(400_000) },
    ]);
  await composer().getByRole("alert").getByText("“huge.bin” was not attached").waitFor();
  const files = composer().getByRole("list", { name: "Attached files" }).getByRole("listitem");
  await expect.poll(() => files.count()).toBe(2);
  await files.getByText("it goes into the workspace").waitFor();
  for (const kind of ["paste", "drop"]) {
    await composer()
      .getByRole("textbox", { name: "Message" })
      .evaluate((field, kind) => {
        const data = new DataTransfer();
        data.items.add(new File([kind], `${kind}.txt`, { type: "text/plain" }));
        const options = { bubbles: true, cancelable: true };
        field.dispatchEvent(
          kind === "paste"
            ? new ClipboardEvent(kind, { ...options, clipboardData: data })
            : new DragEvent(kind, { ...options, dataTransfer: data }),
        );
      }, kind);
    await files.getByText(`${kind}.txt`).waitFor();
  }
  await files.filter({ hasText: ".zip" }).getByRole("button", { name: "Remove" }).click();
  await composer().getByRole("button", { name: "Channel: main" }).click();
  await page.getByRole("menuitem", { name: "New channel…" }).click();
  await page.getByRole("textbox", { name: "Name of the new channel" }).fill("notes");
  await page.keyboard.press("Enter");
  await page.keyboard.type("Read these");
  await page.keyboard.press("Control+Enter");
  await messages().getByText("With the files").waitFor();
  const message = (await explorer.up.api.messages(sessionId)).find(({ content }) => content === "Read these");
  expect(message).toMatchObject({ channel: "notes", attachments: [{ filename: "notes.md" }, {}, {}] });
  await expect.poll(() => files.count()).toBe(0);
});

test("a message whose answer is lost while its writer looks at another page is sent again as the same one, with its files and choices", async () => {
  // The channel that was chosen last is forgotten.
  await page.reload();
  const field = composer().getByRole("textbox", { name: "Message" });
  const files = composer().getByRole("list", { name: "Attached files" }).getByRole("listitem");
  const buffer = Buffer.from("# Plan");
  await composer().locator('input[type="file"]').setInputFiles({ name: "plan.md", mimeType: "", buffer });
  await files.getByText("plan.md").waitFor();
  await composer().getByRole("button", { name: "Steer now" }).click();
  await field.fill("lost on its way");
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  await page.route("**/messages", async (route) => {
    await route.fetch();
    await held;
    await route.abort();
  });
  await composer().getByRole("button", { name: "Send" }).click();
  const tabs = page.getByRole("navigation", { name: "Session" });
  await tabs.getByRole("link", { name: "Changes" }).click();
  await page.locator("textarea").waitFor({ state: "detached" });
  // Until it is sent again, the newest message is of another channel.
  await expect.poll(sent).toContain("lost on its way");
  await explorer.up.api.sendMessage(sessionId, { content: "of another channel", channel: "side" });
  await tabs.getByRole("link", { name: "Session" }).click();
  await composer().getByRole("button", { name: "Sending…" }).waitFor();
  release();
  await composer().getByRole("alert").getByText("The message may have arrived.").waitFor();
  await page.unrouteAll({ behavior: "wait" });
  const showsEnd = async () => {
    await page.keyboard.press("End");
    return messages().getByText("of another channel").isVisible();
  };
  await expect.poll(showsEnd).toBe(true);
  await composer().getByRole("button", { name: "Send again" }).click();
  await expect.poll(() => field.inputValue()).toBe("");
  await expect.poll(() => files.count()).toBe(0);
  expect((await sent()).filter((content) => content === "lost on its way")).toHaveLength(1);
  await composer().getByRole("button", { name: "After this turn" }).click();
});

test("a message with a file that arrives while its writer looks at another page leaves the field with its file", async () => {
  const field = composer().getByRole("textbox", { name: "Message" });
  const files = composer().getByRole("list", { name: "Attached files" }).getByRole("listitem");
  const buffer = Buffer.from("# Away");
  await composer().locator('input[type="file"]').setInputFiles({ name: "away.md", mimeType: "", buffer });
  await files.getByText("away.md").waitFor();
  await field.fill("with a file, elsewhere");
  const release = await sendAndLookElsewhere();
  await files.getByText("away.md").waitFor();
  release();
  await expect.poll(() => field.inputValue()).toBe("");
  await expect.poll(() => files.count()).toBe(0);
  await page.unrouteAll({ behavior: "wait" });
  // The next reader begins at the end again.
  await page.goto(`${explorer.up.url}/sessions/${sessionId}`);
  await composer().waitFor();
});

test("a workflow shows its steps, and each opens to its output", async () => {
  const steps = [
    { name: "check", run: "echo checked; exit 3" },
    { name: "explain", prompt: "Explain it" },
  ];
  await explorer.up.api.startWorkflow(sessionId, { name: "Check and explain", onFailure: "continue", steps });
  const step = (name: RegExp) => messages().getByRole("button", { name });
  await step(/^command check/)
    .getByText("exit 3")
    .waitFor();
  await step(/^command check/).click();
  await messages().getByText("checked", { exact: true }).waitFor();
  await messages()
    .getByText(/^A step failed/)
    .waitFor();
  await step(/^prompt explain/).click();
  await messages().getByText("Understood.").last().waitFor();
});

test("what is selected is selected on each page of the session, and whoever comes back finds their folds", async () => {
  const { id, traceId } = (await explorer.up.api.messages(sessionId))[0] ?? {};
  const tabs = page.getByRole("navigation", { name: "Session" });
  const search = () => Object.fromEntries(new URL(page.url()).searchParams);
  await page.goto(`${explorer.up.url}/sessions/${sessionId}?trace=${traceId}`);
  // A trace alone leads to its message.
  await expect.poll(search).toMatchObject({ message: id, trace: traceId });
  const head = messages().getByRole("button", { name: /Check and explain/ });
  await page.keyboard.press("Home");
  await messages().getByRole("button", { expanded: true }).first().click();
  await tabs.getByRole("link", { name: "Trace" }).click();
  await page.waitForURL((url) => url.pathname.endsWith(`/traces/${traceId}`));
  await tabs.getByRole("link", { name: "Why" }).click();
  await page.waitForURL((url) => url.pathname.endsWith(`/messages/${id}/why`));
  await tabs.getByRole("link", { name: "Changes" }).click();
  await page.waitForURL((url) => url.searchParams.get("from") === id);
  await tabs.getByRole("link", { name: "Session" }).click();
  await expect.poll(search).toMatchObject({ message: id, trace: traceId });
  await messages().getByRole("button", { expanded: false }).first().waitFor();
  await page.keyboard.press("End");
  await head.waitFor();
});

test("the palette has what was typed before it was loaded", async () => {
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  await page.route(/palette[^/]*\.js$/, async (route) => {
    await held;
    await route.continue();
  });
  await page.reload();
  await composer().waitFor();
  await page.keyboard.press("Control+K");
  await page.keyboard.type("hibernx");
  await page.keyboard.press("Backspace");
  release();
  const field = page.getByRole("combobox", { name: "Search or jump to…" });
  await field.waitFor();
  expect(await field.inputValue()).toBe("hibern");
  await page.keyboard.press("Escape");
});

describe("from the first message to the end", () => lifecycleJourneys(() => explorer));
describe("an agent that asks for permission", () => permissionJourneys(() => explorer));
describe("a runner that is lost", () => lostRunnerJourneys(() => explorer));
describe("the timeline", () => timelineJourneys(() => explorer));

test("no page has violated its policy, logged an error or asked another origin", () => {
  expect(explorer.misdeeds()).toEqual({ policy: [], errors: [], foreign: [] });
});
