import {
  TestedWebhook,
  WEBHOOK_EVENTS,
  type WebhookEventType,
  WebhookList,
  WebhookView,
  WebhookWithSecret,
} from "@valet/shared/protocol/webhooks";
import { type Command, Option } from "commander";
import { z } from "zod";
import type { ApiClient } from "../api-client.ts";
import { connect, type GlobalOptions, print, printJson, printLines, report } from "../context.ts";
import { ExitCode } from "../errors.ts";
import { helpEnd } from "../help-text.ts";
import { matchId } from "../match-id.ts";
import { testedLine, webhookLines } from "../webhooks-text.ts";

interface AddOptions extends GlobalOptions {
  readonly events?: readonly WebhookEventType[];
}

const pathOf = (id: string, more = "") => `/api/webhooks/${encodeURIComponent(id)}${more}`;

export function addWebhooks(program: Command): void {
  const webhooks = program
    .command("webhooks")
    .description("have events of your sessions sent to an URL: turns that end, attention, changes of status")
    .addHelpText(
      "after",
      `
Events are signed (Standard Webhooks), retried for most of a day, and hold no content of the conversation.

Exit codes: 0 success; 1 a test was not delivered; 2 usage or environment error.

Example:
  valet webhooks add https://hooks.example.com/valet --events turn.ended session.attention`,
    );
  addAdd(webhooks);
  addList(webhooks);
  addRemove(webhooks);
  addEnable(webhooks);
  addRotate(webhooks);
  addTest(webhooks);
}

function addAdd(webhooks: Command): void {
  const events = new Option("--events <event...>", "the events to send; all if omitted").choices(WEBHOOK_EVENTS);
  webhooks
    .command("add <url>")
    .description("add an endpoint, and print its secret, which is not shown again")
    .addOption(events)
    .addHelpText("after", helpEnd(undefined, "webhooks add https://hooks.example.com/valet --events session.attention"))
    .action(async (url: string, _options, command: Command) => {
      const options = command.optsWithGlobals<AddOptions>();
      const body = { url, ...(options.events !== undefined && { events: options.events }) };
      showSecret(options, await connect(options).ask("POST", "/api/webhooks", WebhookWithSecret, body));
    });
}

function addList(webhooks: Command): void {
  webhooks
    .command("list")
    .description("list the endpoints, and why deliveries to them fail")
    .addHelpText("after", helpEnd(undefined, "webhooks list --json"))
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const list = await connect(options).ask("GET", "/api/webhooks", WebhookList);
      if (options.json) printJson(list);
      else printLines(webhookLines(list.webhooks));
    });
}

function addRemove(webhooks: Command): void {
  webhooks
    .command("remove <webhook>")
    .description("remove an endpoint, with what waits for it")
    .addHelpText("after", helpEnd(undefined, "webhooks remove wh_01"))
    .action(async (webhook: string, _options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const { api, id } = await find(options, webhook);
      await api.ask("DELETE", pathOf(id), z.undefined());
      if (options.json) printJson({ id, removed: true });
      else print(`${id} is removed.`);
    });
}

function addEnable(webhooks: Command): void {
  webhooks
    .command("enable <webhook>")
    .description("enable an endpoint that was disabled because it failed or was gone")
    .addHelpText("after", helpEnd(undefined, "webhooks enable wh_01"))
    .action(async (webhook: string, _options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const { api, id } = await find(options, webhook);
      const view = await api.ask("POST", pathOf(id, "/enable"), WebhookView);
      if (options.json) printJson(view);
      else print(`${id} is enabled.`);
    });
}

function addRotate(webhooks: Command): void {
  webhooks
    .command("rotate <webhook>")
    .description("give an endpoint a new secret; deliveries are signed with the old one, too, for a day")
    .addHelpText("after", helpEnd(undefined, "webhooks rotate wh_01"))
    .action(async (webhook: string, _options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const { api, id } = await find(options, webhook);
      showSecret(options, await api.ask("POST", pathOf(id, "/rotate"), WebhookWithSecret));
    });
}

function addTest(webhooks: Command): void {
  webhooks
    .command("test <webhook>")
    .description("send a test event now, and say what the endpoint answered")
    .addHelpText("after", helpEnd("the event was not delivered", "webhooks test wh_01"))
    .action(async (webhook: string, _options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const { api, id } = await find(options, webhook);
      const tested = await api.ask("POST", pathOf(id, "/test"), TestedWebhook);
      if (options.json) printJson(tested);
      else print(testedLine(id, tested));
      if (!tested.delivered) process.exitCode = ExitCode.FAILED;
    });
}

/** An endpoint's id, whole: nothing is left to find. */
const WHOLE = /^wh_[0-9a-z]{26}$/;
const WEBHOOKS = {
  one: "endpoint",
  many: "endpoints",
  type: "webhook-not-found",
  remedy: "See `valet webhooks list`.",
};

/** Returns the client, and the id of the endpoint that is named by it, or by its beginning. @throws UserError */
async function find(options: GlobalOptions, text: string): Promise<{ readonly api: ApiClient; readonly id: string }> {
  const api = connect(options);
  if (WHOLE.test(text)) return { api, id: text };
  const { webhooks } = await api.ask("GET", "/api/webhooks", WebhookList);
  const candidates = webhooks.map(({ id, url }) => ({ id, note: url }));
  return { api, id: matchId(text, candidates, WEBHOOKS) };
}

/** Prints the secret alone on standard output, so that a script can store it. */
function showSecret({ json }: GlobalOptions, { secret, ...view }: WebhookWithSecret): void {
  if (json) return printJson({ ...view, secret });
  for (const line of webhookLines([view])) report(line);
  report("Its secret, which is not shown again:");
  print(secret);
}
