/** Webhooks on the whole system: endpoints over the CLI, and a receiver on the loopback interface that verifies what it gets. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, expect, test } from "vitest";
import { waitFor } from "../packages/cli/src/wait.ts";
import { parseScenario } from "../packages/scripted-model/src/index.ts";
import { WebhookEvent, type WebhookView } from "../packages/shared/src/protocol/webhooks.ts";
import { runInProcess } from "./run-in-process.ts";
import { ScriptedSystem } from "./scripted-system.ts";

const TIMEOUT_MS = 180_000;
const CANARY = "content-canary";
const scenario = parseScenario(
  JSON.stringify({
    name: "webhooks",
    rules: [{ name: "quick", when: { userMatches: "." }, reply: [{ text: `Done ${CANARY}.` }] }],
  }),
  "webhooks",
);

let system: ScriptedSystem;
let server: Server;
/** What arrived, in order. */
const got: { readonly body: string; readonly headers: Record<string, string> }[] = [];
let status = 204;

beforeAll(async () => {
  server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    got.push({ body, headers: request.headers as Record<string, string> });
    response.writeHead(status).end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  system = await ScriptedSystem.start(scenario, { VALET_WEBHOOKS_ALLOW_PRIVATE: "true" });
}, TIMEOUT_MS);

afterAll(async () => {
  await system?.close();
  server.close();
}, TIMEOUT_MS);

const inValet = (...args: string[]) => runInProcess("--state", system.stateDir, ...args);
const cli = (...args: string[]) => inValet("webhooks", ...args);

test(
  "an endpoint that the CLI adds gets signed events of a session, in order, and is tested and removed",
  async () => {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/valet`;
    const added = await cli("add", url, "--events", "turn.ended", "session.state");
    expect(added.code).toBe(0);
    const secret = added.stdout.trim();
    expect(secret).toMatch(/^whsec_/);
    const { webhooks } = JSON.parse((await cli("list", "--json")).stdout);
    const [{ id }] = webhooks;
    expect(webhooks).toMatchObject([{ url, enabled: true, events: ["turn.ended", "session.state"] }]);

    const verified = () =>
      got.map(({ body, headers }) => WebhookEvent.parse(new Webhook(secret).verify(body, headers)));
    expect((await cli("test", id)).stdout).toMatch(/delivered; it answered 204 after \d+ ms\./);
    expect(verified()).toMatchObject([{ type: "webhook.test" }]);

    const session = await system.api.createSession({});
    const { messageId } = await system.api.sendMessage(session.id, { content: `${CANARY}: go`, queueMode: "followup" });
    const hasEnded = (events: WebhookEvent[]) => events.some(({ type }) => type === "turn.ended");
    await waitFor("the turn's end at the receiver", async () => verified(), hasEnded, TIMEOUT_MS);
    const events = verified().slice(1);
    const states = events.flatMap((event) => (event.type === "session.state" ? [event.data.status] : []));
    expect(states.at(-1)).toBe("running");
    const turn = events.find(({ type }) => type === "turn.ended");
    const { sentence } = await system.api.why(session.id, "message", messageId);
    expect(turn).toMatchObject({
      data: { sessionId: session.id, text: sentence, turn: { message_ids: [messageId], outcome: "ok" } },
    });
    expect(got.map(({ body }) => body).join()).not.toContain(CANARY);

    status = 500;
    const failed = await cli("test", id);
    expect(failed.code).toBe(1);
    expect(failed.stdout).toContain("not delivered: HTTP 500.");
    await inValet("terminate", session.id, "--yes");
    const isFailing = ([webhook]: readonly WebhookView[]) => webhook?.failing != null;
    await waitFor("a failed delivery", () => system.api.webhooks(), isFailing, TIMEOUT_MS);
    const problem = new RegExp(`${id} at 127\\.0\\.0\\.1:\\d+ is failing since .*: HTTP 500; fix it`);
    expect((await inValet("attention")).stderr).toMatch(problem);
    const doctor = JSON.parse((await inValet("doctor", "--json")).stdout);
    const finding = doctor.findings.find(({ name }: { readonly name: string }) => name === "webhooks");
    expect(finding.detail).toMatch(problem);
    expect((await cli("remove", id)).code).toBe(0);
    expect((await cli("list")).stdout).toContain("There are no webhooks.");
    const removed = await cli("enable", id);
    expect(removed.code).toBe(2);
    expect(removed.stderr).toContain("No such webhook");
  },
  TIMEOUT_MS,
);

test("an address that is not allowed is refused with a sentence", async () => {
  const refused = await cli("add", "http://169.254.169.254/latest/");
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain("it must begin with https://");
});
