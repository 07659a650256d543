import type { Command } from "commander";
import { troubledWebhooks } from "../check-webhooks.ts";
import { connect, type GlobalOptions, printJson, printLines, report } from "../context.ts";
import { helpEnd } from "../help-text.ts";
import { attentionLines } from "../now-text.ts";
import { paintVerdict } from "../paint.ts";
import { webhookProblem } from "../webhooks-text.ts";

export function addAttention(program: Command): void {
  program
    .command("attention")
    .description("list the sessions that wait for a person, are quiet or stuck, or have failed, oldest first")
    .addHelpText("after", helpEnd(undefined, "attention --json"))
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const api = connect(options);
      const items = await api.attention();
      if (options.json) {
        printJson({ items });
        return;
      }
      printLines(attentionLines(items), { paint: paintVerdict });
      // The result is the list of sessions, which is complete without the webhooks: a failed read of these is ignored.
      const webhooks = await api.webhooks().catch(() => []);
      for (const webhook of troubledWebhooks(webhooks)) report(`Webhooks: ${webhookProblem(webhook)}.`);
    });
}
