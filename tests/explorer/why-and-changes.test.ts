/** The pages Why and Changes on real work: a turn that edits, one that makes a long diff, one whose model refuses. */
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { liveLooks } from "./live-looks.ts";
import { looksJourneys } from "./looks-journeys.ts";
import { wholeJourneys } from "./whole-journeys.ts";
import { BIG_LINES, HOSTILE, startWork, type Work } from "./work.ts";

let work: Work;
let page: Page;
beforeAll(async () => {
  work = await startWork();
  ({ page } = await work.explorer.openSignedIn());
}, 180_000);
afterAll(() => work?.close());

const open = (path: string) => page.goto(`${work.explorer.up.url}/sessions/${work.sessionId}${path}`);

test("why says where the time went; the tenths of the parts add up to the whole, and a span leads to its trace", async () => {
  await open(`/messages/${work.messages.edit}/why`);
  const table = page.getByRole("table", { name: "Where the time went, largest first" });
  await table.getByRole("row").nth(2).waitFor();
  const times = await table.locator("tbody tr td:nth-child(3)").allTextContents();
  const tenths = times.map((text) => (text.startsWith("<") ? 0 : Math.round(Number.parseFloat(text) * 10)));
  const [whole, ...parts] = tenths;
  expect(parts.reduce((sum, each) => sum + each, 0)).toBe(whole);
  expect(
    await page.getByRole("region", { name: "Where the time went, in order" }).getByRole("listitem").count(),
  ).toBeGreaterThan(3);

  const unfold = table.getByRole("button", { name: "Unfold: in the tool `bash`" });
  await unfold.focus();
  await page.keyboard.press("ArrowRight");
  await expect.poll(() => unfold.getAttribute("aria-expanded")).toBe("true");
  await table.getByRole("link", { name: /^span/ }).first().click();
  await page.waitForURL(/\/traces\/[0-9a-f]{32}\?span=/);
});

test("the tab leads to the newest message; another one is chosen from the list", async () => {
  await open("/why");
  await page.getByRole("heading", { name: "First cause of the failure" }).waitFor();
  await page.getByText("provider_auth_failed").first().waitFor();
  await page.getByRole("button", { name: "Another one" }).click();
  await page.getByRole("menuitemcheckbox", { name: /\[edit\]/ }).click();
  await page.waitForURL(`**/messages/${work.messages.edit}/why`);
});

test("a file that a tool wrote leads to the call; what a command wrote says that this cannot be known; names are text", async () => {
  const { edit } = work.messages;
  await open(`/changes?from=${edit}&to=${edit}&file=src%2Fhello.ts`);
  await page.getByText("export const hello = 1;").first().waitFor();
  await page.getByText("Written by").waitFor();
  await page.getByRole("button", { name: "modified file.txt" }).click();
  await page.getByText("Which call wrote it cannot be known").waitFor();
  await page.getByText("a change <b>of</b> hostile names").waitFor();
  const hostile = page.getByRole("button", { name: HOSTILE.slice(0, 20) });
  await hostile.click();
  expect(await page.locator("main img, main b b").count()).toBe(0);
  await page.getByRole("link", { name: "write src/hello.ts" }).click();
  await page.waitForURL(/\/traces\/[0-9a-f]{32}\?span=/);
});

test("the name of a file hides neither line breaks nor spaces, and is whole once the file is unfolded", async () => {
  const { edit } = work.messages;
  const long = `${"folder/".repeat(60)}end.txt`;
  await page.route(/\/api\/.*\/diff\?.*patch=none/, async (route) => {
    const answer = await (await route.fetch()).json();
    const [turn] = answer.turns;
    const file = { previous_path: null, kind: "added", lines_added: null, lines_removed: null };
    const files = ["two\nlines", " a  b ", long].map((path) => ({ ...file, path }));
    await route.fulfill({ json: { ...answer, turns: [{ ...turn, files, files_changed: 3 }] } });
  });
  await open(`/changes?from=${edit}&to=${edit}`);
  const names = page.locator(".changes-file .path");
  await names.nth(2).waitFor();
  expect(await names.allInnerTexts()).toEqual(['"two\\nlines"', '" a  b "', long]);
  const isCut = () => names.nth(2).evaluate(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth);
  expect(await isCut()).toBe(true);
  await names.nth(2).click();
  await expect.poll(isCut).toBe(false);
  await page.unrouteAll({ behavior: "wait" });
});

test("a commit leads to what it changed, and a link to it shows the same", async () => {
  const { edit } = work.messages;
  await open(`/changes?from=${edit}&to=${edit}`);
  const commit = page.getByRole("list", { name: "Commits" }).getByRole("button", { name: /a change <b>of/ });
  const file = (name: string) => page.getByRole("button", { name: new RegExp(`^(added|modified) ${name}`) });
  await file("later.txt").waitFor();
  await commit.click();
  await page.getByText("Only what the commit").waitFor();
  // What the turn changed after the commit is none of it; what it changed is unfolded.
  expect(await file("later.txt").count()).toBe(0);
  await page.getByText("export const hello = 1;").first().waitFor();
  await page.reload();
  await page.getByText("Only what the commit").waitFor();
  await page.getByText("export const hello = 1;").first().waitFor();
  await commit.click();
  await file("later.txt").waitFor();
});

test("of a diff of 5,000 lines only the rows near the window exist; a file over a megabyte is there by its name", async () => {
  await open("/changes?file=big.txt");
  await page.getByText("only its name is known").waitFor();
  await page.locator(".diff-line").first().waitFor();
  expect(await page.locator(".diff-line").count()).toBeLessThan(BIG_LINES / 5);
  const last = page.locator(".diff-code", { hasText: /^5000$/ });
  await expect
    .poll(async () => {
      await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
      return (await page.locator(".diff-code").allTextContents()).includes(`${BIG_LINES}`) || (await last.count()) > 0;
    })
    .toBe(true);
});

test("known and unknown money, work of other sessions, and changes that are unknown or shared are said as they are", async () => {
  const child = `ses_${"7".repeat(26)}`;
  const spent = { provider: null, sub_agent: false, tokens_cache_write: null };
  const tokens = { tokens_input: 184_000, tokens_output: 9_100, tokens_cache_read: 150_000 };
  const none = { tokens_input: null, tokens_output: null, tokens_cache_read: null };
  const money = {
    cost_usd: 0.18,
    known: false,
    by: [
      { ...spent, ...tokens, model: "claude", agent: "build", cost_usd: 0.15, known: true, calls: 12 },
      { ...spent, ...none, model: null, agent: null, cost_usd: null, known: false, calls: 2 },
    ],
    avoidable: [
      {
        reason: "retry",
        cost_usd: null,
        known: false,
        sentence: "A try that failed may have been charged.",
        spans: [],
      },
    ],
    children: [{ sessionId: child, cost_usd: null, known: false }],
    sentence: "At least $0.18.",
  };
  const slow = { sessionId: child, reading: "slow", sentence: "It did not answer in time.", work: [] };
  await page.route(/\/api\/.*\/why$/, async (route) => {
    const answer = await (await route.fetch()).json();
    await route.fulfill({ json: { ...answer, money, sessions: [slow] } });
  });
  await page.route(/\/api\/.*\/diff\?.*patch=none/, async (route) => {
    const answer = await (await route.fetch()).json();
    const unknown = {
      files: [],
      files_changed: null,
      lines_added: null,
      lines_removed: null,
      commits: null,
      patch: "none",
    };
    const last = {
      ...answer.turns.at(-1),
      ...unknown,
      turn_id: "att_x",
      unknown: "sandbox_lost",
      shared_with: ["msg_y"],
    };
    await route.fulfill({ json: { ...answer, unknown_turns: 1, turns: [...answer.turns, last] } });
  });
  await open(`/messages/${work.messages.edit}/why`);
  const note = page.getByRole("region", { name: "Money" });
  await note.getByText("12 calls · 184.0 k in, of which 150.0 k cached · 9,100 out").waitFor();
  await note.getByText("2 calls · tokens unknown").waitFor();
  expect(await note.getByRole("heading").textContent()).toMatch(/≥\s\$0\.18/);
  await page.getByRole("region", { name: "Other sessions" }).getByText("It did not answer in time.").waitFor();
  await open("/changes");
  await page.getByText("without 1 of the turns, whose changes are unknown").waitFor();
  await page.getByRole("button", { name: "The files of this turn" }).first().click();
  await page.getByText("What this turn changed is unknown: the sandbox or its runner was lost.").waitFor();
  await page.getByText("msg_y").waitFor();
  await page.unrouteAll({ behavior: "wait" });
});

test("what a turn cost is the same on its session, at Why and among the turns; what nobody knows stays unknown", async () => {
  // Three calls: 2,400 tokens of input, 9,000 from the cache and 377 of output each, $0.0467 in all.
  const cost = /\$0\.05/;
  await open(`/messages/${work.messages.edit}/why`);
  await page.getByRole("region", { name: "Money" }).getByRole("heading").getByText(cost).waitFor();
  await page.goto(`${work.explorer.up.url}/turns?sort=cost`);
  const rows = page.getByRole("table", { name: "Turns" }).getByRole("row");
  await rows.nth(1).getByText(cost).waitFor();
  await page.getByText(/turns · ≥\s?\$0\.\d+/).waitFor();
  await page.goto(`${work.explorer.up.url}/turns?of=cost&by=model`);
  const groups = page.getByRole("table", { name: /by model: percentiles$/ });
  await expect.poll(() => groups.getByRole("row").nth(1).textContent()).toMatch(/\$0\.0/);
});

test("a session that sleeps shows what it changed, as before", async () => {
  const { api } = work.explorer.up;
  await api.change(work.sessionId, "hibernate");
  await expect.poll(async () => (await api.session(work.sessionId)).status).toBe("hibernated");
  await open(`/changes?to=${work.messages.edit}&from=${work.messages.edit}&file=src%2Fhello.ts`);
  await page.getByText("export const hello = 1;").first().waitFor();
  await page.getByText("Written by").waitFor();
  await page.getByRole("button", { name: "Wake" }).waitFor();
  expect((await api.session(work.sessionId)).status).toBe("hibernated");
});

describe("everything, one way through", () => wholeJourneys(() => work));
describe("a page that lives", () => liveLooks(() => work));
describe("how it looks", () => looksJourneys(() => work));

test("why of a session whose last job is a workflow is about that, which the list names, and the changes, too", async () => {
  const { api } = work.explorer.up;
  const steps = [{ name: "boom", run: "echo more >> file.txt; exit 3" }];
  const { executionId } = await api.startWorkflow(work.sessionId, { name: "Nightly checks", steps });
  await expect.poll(async () => (await api.workflow(work.sessionId, executionId)).status).toBe("done");
  await open("/why");
  await page.getByText("Workflow “Nightly checks”").waitFor();
  await page.getByText("command_failed").first().waitFor();
  await page.getByRole("button", { name: "Another one" }).click();
  await page.getByRole("menuitemcheckbox", { name: /^Workflow Nightly checks/ }).waitFor();
  await page.getByRole("menuitemcheckbox", { name: /\[edit\]/ }).click();
  await page.waitForURL(`**/messages/${work.messages.edit}/why`);
  // Nobody asks for a message with the id of a workflow, also not before the lists are there.
  const asked: string[] = [];
  page.on("request", (request) => asked.push(new URL(request.url()).pathname));
  await open(`/messages/${executionId}/why`);
  await page.getByText("Workflow “Nightly checks”").waitFor();
  expect(asked.filter((path) => path.endsWith(`/messages/${executionId}`))).toEqual([]);
  await open("/changes");
  await page.getByRole("region", { name: "Turn Workflow Nightly checks" }).waitFor();
});

test("nothing ran that should not, and no request left the page", () => {
  expect(work.explorer.misdeeds()).toEqual({ policy: [], errors: [], foreign: [] });
});
