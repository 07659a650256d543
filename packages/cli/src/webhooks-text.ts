/** Says what endpoints of webhooks do, for people. Pure. */
import type { TestedWebhook, WebhookView } from "@valet/shared/protocol/webhooks";
import { counted } from "./counted.ts";

export function webhookLines(webhooks: readonly WebhookView[]): string[] {
  if (webhooks.length === 0) return ["There are no webhooks. Add one with `valet webhooks add URL`."];
  return webhooks.flatMap((webhook) => [
    [webhook.id, webhook.enabled ? "enabled" : "disabled", webhook.url].join("  "),
    `  ${webhook.events.join(", ")}`,
    ...problemLines(webhook),
  ]);
}

function problemLines({ id, disabledReason, failing, givenUp, previousSecretUntil }: WebhookView): string[] {
  const why = disabledReason === "gone" ? "it answered 410" : "it has failed for days";
  const count = failing === null ? "" : counted(failing.failures, "failure");
  return [
    ...(disabledReason === null ? [] : [`  disabled: ${why}. When it is mended: valet webhooks enable ${id}`]),
    ...(failing === null
      ? []
      : [`  failing since ${failing.since}: ${count}, the last at ${failing.at}: ${failing.error}`]),
    ...(givenUp === 0 ? [] : [`  ${counted(givenUp, "event")} could not be delivered`]),
    ...(previousSecretUntil === null ? [] : [`  the secret before is valid until ${previousSecretUntil}`]),
  ];
}

export function testedLine(id: string, { delivered, status, error, duration_ms: ms }: TestedWebhook): string {
  if (delivered) return `${id}: delivered; it answered ${status} after ${Math.round(ms)} ms.`;
  return `${id}: not delivered: ${error}.`;
}
